import type { Duration } from "@bufbuild/protobuf/wkt";
import type { OverheadBucket } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";

/** Fewer calls say nothing of the slowest 5 of 100. */
export const PERCENTILE_CALLS = 100;

/** The time that routers themselves took for 95 of 100 calls, as far as buckets tell it, milliseconds. */
export interface OverheadP95 {
  /** It is more than this, from 0. */
  readonly moreThanMs: number;
  /** It is at most this; Infinity in the last bucket. */
  readonly atMostMs: number;
}

/** The 95th percentile of what buckets count, shortest first; undefined when that is fewer than so many calls. */
export function findOverheadP95(
  buckets: readonly Pick<OverheadBucket, "atMost" | "calls">[],
  minimumCalls: number,
): OverheadP95 | undefined {
  const total = buckets.reduce((sum, { calls }) => sum + Number(calls), 0);
  if (total < minimumCalls) return undefined;
  let within = 0;
  let moreThanMs = 0;
  for (const { atMost, calls } of buckets) {
    const atMostMs = toMs(atMost);
    within += Number(calls);
    if (within >= 0.95 * total) return { moreThanMs, atMostMs };
    moreThanMs = atMostMs;
  }
  return undefined;
}

// Unlike `durationMs`, not to whole milliseconds.
function toMs(atMost: Duration | undefined): number {
  return atMost === undefined ? Number.POSITIVE_INFINITY : Number(atMost.seconds) * 1_000 + atMost.nanos / 1e6;
}
