import { type Limit, LimitPer } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { CountedLimit } from "./admission.ts";

/** Id of the limit that a key has of its own; no limit of a policy can have it, since a policy's limits count tenants. */
const OWN_LIMIT = "key";

/** The limits that count the calls of a key, each with whom it counts for together: those of the policy, and the key's own. */
export function toCountedLimits(limits: readonly Limit[], grant: KeyGrant): CountedLimit[] {
  const counted = limits.map(({ id, per, requestsPerMinute }) => ({
    id,
    subject: subjectOf(per, grant),
    requestsPerMinute,
  }));
  const { keyId, requestsPerMinute } = grant;
  if (requestsPerMinute > 0) counted.push({ id: OWN_LIMIT, subject: `own ${keyId}`, requestsPerMinute });
  return counted;
}

function subjectOf(per: LimitPer, { keyId, organisation, team, app }: KeyGrant): string {
  switch (per) {
    case LimitPer.APP:
      return `${organisation}/${team}/${app}`;
    case LimitPer.TEAM:
      return `${organisation}/${team}`;
    case LimitPer.ORGANISATION:
      return organisation;
    default:
      // A kind that this build does not know counts as strictly as it can be meant to by the snapshot's own check: each key.
      return keyId;
  }
}
