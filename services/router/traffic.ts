import { create } from "@bufbuild/protobuf";
import { type OverheadBucket, OverheadBucketSchema } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Reason } from "../shared/errors/reason.ts";
import type { Traffic } from "../shared/snapshot/traffic.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import type { HistogramTally } from "../shared/telemetry/tally.ts";

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
  weir_router_overhead_seconds: overheads,
}: Pick<
  Metrics,
  "weir_router_chats_total" | "weir_router_refusals_total" | "weir_router_overhead_seconds"
>): () => Traffic {
  const [answered, cancelled, denied, failed, cut] = (
    ["answered", "cancelled", "denied", "failed", "cut"] as const
  ).map((outcome) => chats.labels({ outcome })) as unknown as readonly [Tally, Tally, Tally, Tally, Tally];
  const overhead = overheads.labels({});
  const refused = POLICY_DENIALS.map((reason) => refusals.labels({ reason }));
  return () => {
    const failures = failed.value + cut.value;
    const denials = denied.value + refused.reduce((sum, { value }) => sum + value, 0);
    const calls = answered.value + cancelled.value + failures + denials;
    return { calls, failures, denials, overhead: toBuckets(overhead) };
  };
}

function toBuckets({ bounds, counts }: HistogramTally): OverheadBucket[] {
  return counts.map((count, index) => {
    const seconds = bounds[index];
    const atMost = seconds === undefined ? {} : { atMost: toDuration(seconds) };
    return create(OverheadBucketSchema, { calls: BigInt(count), ...atMost });
  });
}

function toDuration(seconds: number) {
  const whole = Math.floor(seconds);
  return { seconds: BigInt(whole), nanos: Math.round((seconds - whole) * 1e9) };
}

interface Tally {
  readonly value: number;
}
