import type { Limit } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";

/** Whether a limit counts the calls of a key: each field that its selector sets is the key's, and an absent selector fits all. */
export function countsGrant(limit: Limit, grant: KeyGrant): boolean {
  const tenants = limit.tenants;
  if (tenants === undefined) return true;
  return (
    fits(tenants.organisation, grant.organisation) &&
    fits(tenants.team, grant.team) &&
    fits(tenants.app, grant.app) &&
    fits(tenants.environment, grant.environment)
  );
}

function fits(wanted: string, actual: string): boolean {
  return wanted === "" || wanted === actual;
}
