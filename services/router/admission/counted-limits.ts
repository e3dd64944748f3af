import { type Limit, LimitPer } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { CountedLimit } from "./admission.ts";

/** Id of the limit that a key has of its own; no limit of a policy can have it, since a policy's limits count tenants. */
const OWN_LIMIT = "key";

/**
 * The limits that count the calls of a key, each with whom it counts for together: those of the policy, and the key's own. Made
 * once for a grant and the list of its policy's limits, which {@link DecisionTables} keeps.
 */
export function toCountedLimits(limits: readonly Limit[], grant: KeyGrant): readonly CountedLimit[] {
  let known = countedOf.get(grant);
  if (known === undefined || known.limits !== limits) {
    known = { limits, counted: countLimits(limits, grant) };
    countedOf.set(grant, known);
  }
  return known.counted;
}

/** By grant, for the policy that it was asked for last. */
const countedOf = new WeakMap<KeyGrant, { readonly limits: readonly Limit[]; readonly counted: CountedLimit[] }>();

function countLimits(limits: readonly Limit[], grant: KeyGrant): CountedLimit[] {
  const { keyId, requestsPerMinute } = grant;
  const counted = limits.map(({ id, per, requestsPerMinute }) =>
    toCounted(id, subjectOf(per, grant), requestsPerMinute),
  );
  if (requestsPerMinute > 0) counted.push(toCounted(OWN_LIMIT, `own ${keyId}`, requestsPerMinute));
  return counted;
}

function toCounted(id: string, subject: string, requestsPerMinute: number): CountedLimit {
  return { id, subject, requestsPerMinute, counter: `${id}\n${subject}` };
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
