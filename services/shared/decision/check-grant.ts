import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Denial } from "./plan.ts";

/**
 * Why a key is no longer good at an instant, or nothing when it is: revoked, expired, or its tenant disabled. Its secret is
 * not looked at here.
 */
export function findGrantDenial(
  grant: KeyGrant,
  nowMs: number,
  isTenantDisabled?: (tenant: string) => boolean,
): Denial | undefined {
  if (grant.revokedAt !== undefined) return deny("KEY_REVOKED", grant, "it was revoked");
  const { expiresAt } = grant;
  if (expiresAt !== undefined && Number(expiresAt.seconds) * 1000 + expiresAt.nanos / 1e6 <= nowMs) {
    return deny("KEY_EXPIRED", grant, "it has expired");
  }
  if (isTenantDisabled === undefined) return undefined;
  for (const tenant of tenantsOf(grant)) {
    if (!isTenantDisabled(tenant)) continue;
    const { keyId } = grant;
    return {
      kind: "denial",
      reason: "TENANT_DISABLED",
      message: `Cannot accept key "${keyId}": tenant "${tenant}" is disabled`,
      facts: { key_id: keyId, tenant },
    };
  }
  return undefined;
}

/** The tenants above a key, from the top: "organisation", "organisation/team", "organisation/team/app". */
export function tenantsOf(grant: KeyGrant): readonly [string, string, string] {
  const { organisation, team, app } = grant;
  return [organisation, `${organisation}/${team}`, `${organisation}/${team}/${app}`];
}

function deny(reason: "KEY_REVOKED" | "KEY_EXPIRED", { keyId }: KeyGrant, state: string): Denial {
  return {
    kind: "denial",
    reason,
    message: `Cannot accept key "${keyId}": ${state}`,
    facts: { key_id: keyId },
  };
}
