import type { Reason } from "../shared/errors/reason.ts";
import type { Traffic } from "../shared/snapshot/traffic.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";

/** Refusals that follow from the policy: its models, routes, rules, limits and credentials. All others are the caller's, or ours. */
const POLICY_DENIALS: readonly Reason[] = [
  "CREDENTIAL_MISSING",
  "MODEL_NOT_ALLOWED",
  "MODEL_UNKNOWN",
  "NO_TARGET",
  "NOT_SERVED",
  "PERMISSION_DENIED",
  "RATE_LIMITED",
  "RULE_DENIED",
  "RULE_EXCLUDED",
  "TOOL_NOT_ALLOWED",
];

/**
 * Makes the reader of what this router has done with calls, out of the tallies that its metrics have already: gates of releases compare
 * routers by it, and a call pays nothing for it.
 */
export function createTrafficReader({
  weir_router_chats_total: chats,
  weir_router_refusals_total: refusals,
}: Pick<Metrics, "weir_router_chats_total" | "weir_router_refusals_total">): () => Traffic {
  const [answered, cancelled, denied, failed, cut] = (
    ["answered", "cancelled", "denied", "failed", "cut"] as const
  ).map((outcome) => chats.labels({ outcome })) as unknown as readonly [Tally, Tally, Tally, Tally, Tally];
  const refused = POLICY_DENIALS.map((reason) => refusals.labels({ reason }));
  return () => {
    const failures = failed.value + cut.value;
    const denials = denied.value + refused.reduce((sum, { value }) => sum + value, 0);
    return { calls: answered.value + cancelled.value + failures + denials, failures, denials };
  };
}

interface Tally {
  readonly value: number;
}
