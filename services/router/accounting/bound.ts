import { Meter, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { MeasuredUsage } from "./outcome.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

const INPUT_METERS: readonly Meter[] = [Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.CACHE_WRITE_TOKENS];
const OUTPUT_METERS: readonly Meter[] = [Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS];
/** Tokens that a provider may add for each message and tool, beside what stands in the request; generous. */
const FRAMING_TOKENS = 64n;

/**
 * The most that one attempt at a target can have cost. Input: no more tokens than the request has bytes (a token of a
 * byte-level tokeniser covers at least one byte). Output: what the target can answer, or less if the request said so. Each at
 * the dearest meter it could be counted by.
 */
export function boundUsage(
  started: Pick<StartedCall, "requestBytes" | "maxOutputTokens" | "answers">,
  target: BilledTarget,
): MeasuredUsage {
  const most = target.maxOutputTokens * BigInt(Math.max(1, started.answers ?? 1));
  const asked = started.maxOutputTokens;
  return {
    source: UsageSource.BOUNDED,
    quantities: new Map([
      [findDearest(INPUT_METERS, target), BigInt(started.requestBytes) + FRAMING_TOKENS],
      [findDearest(OUTPUT_METERS, target), asked !== undefined && asked < most ? asked : most],
    ]),
  };
}

/** The price of a meter at a target; one that the snapshot does not name costs as the plain tokens of its side, else nothing. */
export function priceOf(target: BilledTarget, meter: Meter): bigint {
  const plain = OUTPUT_METERS.includes(meter) ? Meter.OUTPUT_TOKENS : Meter.INPUT_TOKENS;
  return findPrice(target, meter) ?? findPrice(target, plain) ?? 0n;
}

function findPrice({ prices }: BilledTarget, meter: Meter): bigint | undefined {
  for (const price of prices) if (price.meter === meter) return price.nanosPerMillion;
  return undefined;
}

function findDearest(meters: readonly Meter[], target: BilledTarget): Meter {
  return meters.reduce((dearest, meter) => (priceOf(target, meter) > priceOf(target, dearest) ? meter : dearest));
}
