import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Reason } from "../errors/reason.ts";
import type { Denial } from "./plan.ts";

/**
 * Why a key is not good in a region at an instant, or nothing when it is: revoked, expired, disabled, for other regions, or its
 * tenant disabled. Its secret is not looked at here, nor how old the keyring is that it stands in.
 */
export function findGrantDenial(
  grant: KeyGrant,
  region: string,
  nowMs: number,
  isTenantDisabled?: (tenant: string) => boolean,
): Denial | undefined {
  const { revokedAt, expiresAt, disabledAt, regions } = grant;
  if (revokedAt !== undefined) return deny("KEY_REVOKED", grant, "it was revoked");
  if (expiresAt !== undefined && Number(expiresAt.seconds) * 1000 + expiresAt.nanos / 1e6 <= nowMs) {
    return deny("KEY_EXPIRED", grant, "it has expired");
  }
  if (disabledAt !== undefined) return deny("KEY_DISABLED", grant, "it is disabled");
  if (regions.length > 0 && !regions.includes(region)) {
    return deny("KEY_REGION_NOT_ALLOWED", grant, `it is not for region "${region}"`, { region });
  }
  if (isTenantDisabled === undefined) return undefined;
  for (const tenant of tenantsOf(grant)) {
    if (!isTenantDisabled(tenant)) continue;
    return deny("TENANT_DISABLED", grant, `tenant "${tenant}" is disabled`, { tenant });
  }
  return undefined;
}

/** The tenants above a key, from the top: "organisation", "organisation/team", "organisation/team/app". */
export function tenantsOf(grant: KeyGrant): readonly [string, string, string] {
  const { organisation, team, app } = grant;
  return [organisation, `${organisation}/${team}`, `${organisation}/${team}/${app}`];
}

function deny(
  reason: Reason,
  { keyId }: KeyGrant,
  state: string,
  facts: Readonly<Record<string, string>> = {},
): Denial {
  return {
    kind: "denial",
    reason,
    message: `Cannot accept key "${keyId}": ${state}`,
    facts: { key_id: keyId, ...facts },
  };
}
