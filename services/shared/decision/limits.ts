import type { Limit, TenantSelector } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";

/** Whether a limit counts the calls of a key; one without a selector counts all. */
export function countsGrant({ tenants }: Limit, grant: KeyGrant): boolean {
  return tenants === undefined || fitsTenant(tenants, grant);
}

/** Whether a key is of one of some tenants; of all, when none is named. */
export function fitsTenants(tenants: readonly TenantSelector[], grant: KeyGrant): boolean {
  return tenants.length === 0 || tenants.some((selector) => fitsTenant(selector, grant));
}

// Each field that a selector sets is the key's.
function fitsTenant({ organisation, team, app, environment }: TenantSelector, grant: KeyGrant): boolean {
  return (
    fits(organisation, grant.organisation) &&
    fits(team, grant.team) &&
    fits(app, grant.app) &&
    fits(environment, grant.environment)
  );
}

function fits(wanted: string, actual: string): boolean {
  return wanted === "" || wanted === actual;
}
