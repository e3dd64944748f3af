import { Meter, OutcomeKind } from "../../../gen/weir/type/v1/usage_pb.ts";
import { costNanos, findCostNanos } from "../../shared/money/money.ts";
import { boundUsage, priceOf } from "./bound.ts";
import type { AttemptOutcome, MeasuredUsage } from "./outcome.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

/** A UsageLine; amounts are numbers where these are exact, as they nearly always are. */
export interface BilledLine {
  readonly meter: Meter;
  readonly quantity: number;
  readonly priceNanosPerMillion: number | bigint;
  readonly costNanos: number | bigint;
}

/** The meters, in the order of the lines of a bill. */
export const METERS: readonly Meter[] = [
  Meter.INPUT_TOKENS,
  Meter.CACHED_INPUT_TOKENS,
  Meter.CACHE_WRITE_TOKENS,
  Meter.OUTPUT_TOKENS,
  Meter.REASONING_TOKENS,
];
const MAX_QUANTITY = 2 ** 53;

/** What an attempt is billed: what was measured, or the most it can have been; undefined when it costs nothing. */
export function findBilledUsage(started: StartedCall, attempt: AttemptOutcome): MeasuredUsage | undefined {
  return attempt.usage ?? (mayBeBilled(attempt) ? boundUsage(started, attempt.target) : undefined);
}

/** The line of one meter, priced with the snapshot's prices; undefined when it counted nothing. */
export function findLine({ quantities }: MeasuredUsage, target: BilledTarget, meter: Meter): BilledLine | undefined {
  const quantity = toQuantity(quantities.get(meter));
  if (quantity === 0) return undefined;
  const price = priceOf(target, meter);
  // A price beyond 2^53 becomes a number that is not safe, and no cost comes of that.
  const rounded = Number(price);
  const cost = findCostNanos(quantity, rounded);
  return cost === undefined
    ? { meter, quantity, priceNanosPerMillion: price, costNanos: costNanos(BigInt(quantity), price) }
    : { meter, quantity, priceNanosPerMillion: rounded, costNanos: cost };
}

// What began to answer has worked, and bills it, whether or not we hear how much. One that failed before any content is taken
// at its word: billing its bound would make callers pay for a broken provider.
function mayBeBilled({ firstContentAtMs, outcome }: AttemptOutcome): boolean {
  return firstContentAtMs !== undefined || outcome === OutcomeKind.ANSWERED || outcome === OutcomeKind.CUT;
}

/** A quantity comes from a provider's JSON: what is no count must not become a bill, or a crash while an outcome is written. */
function toQuantity(value: number | bigint | undefined): number {
  if (typeof value === "bigint") return value < 0n ? 0 : value > MAX_QUANTITY ? MAX_QUANTITY : Number(value);
  return value === undefined || !Number.isSafeInteger(value) || value < 0 ? 0 : value;
}
