import type { UsageRecorded } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import type { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { costNanos } from "../../shared/money/money.ts";

/**
 * Most of one meter that an attempt can have used, and most nano-dollars that a call can have cost: a hundred thousand times the largest
 * context there is, and a million dollars. More is a mistake or a lie; were it posted, the sums that it goes into could leave int64, and what
 * comes after it could not be posted or asked for. Of what passes, nine million usages of a key and a day still fit.
 */
const MAX_QUANTITY = 10n ** 12n;
const MAX_CALL_NANOS = 10n ** 15n;

/** A line, rated: the router's number beside ours. */
export interface RatedLine {
  readonly meter: Meter;
  readonly quantity: bigint;
  readonly priceNanosPerMillion: bigint;
  /** What it costs: our number. */
  readonly costNanos: bigint;
  /** What the router said that it costs. */
  readonly saidNanos: bigint;
}

/** An attempt, rated. */
export interface RatedAttempt {
  readonly provider: string;
  readonly lines: readonly RatedLine[];
  readonly costNanos: bigint;
}

/** A usage, rated: spend that is not posted yet. */
export interface RatedUsage {
  readonly usage: UsageRecorded;
  readonly attempts: readonly RatedAttempt[];
  /** What the call costs: our number, which is posted. */
  readonly costNanos: bigint;
  /** What the router said, for its own admission. */
  readonly saidNanos: bigint;
  /** Does any line differ? Then a router and metering do not agree on arithmetic or on a price: an alarm. */
  readonly mismatched: boolean;
}

/**
 * Rates a usage again with the prices in its lines, which are those of the snapshot that the call ran under. Throws
 * ARGUMENT_INVALID when a quantity or the cost is more than any call can have.
 */
export function rateUsage(usage: UsageRecorded): RatedUsage {
  let cost = 0n;
  let said = 0n;
  let mismatched = false;
  const attempts = usage.attempts.map(({ provider, lines }): RatedAttempt => {
    let attemptNanos = 0n;
    const rated = lines.map((line): RatedLine => {
      const { meter, quantity, priceNanosPerMillion, costNanos: saidNanos } = line;
      checkAmount(quantity, MAX_QUANTITY, "units of a meter");
      const lineNanos = costNanos(quantity, priceNanosPerMillion);
      attemptNanos += lineNanos;
      said += saidNanos;
      if (lineNanos !== saidNanos) mismatched = true;
      return { meter, quantity, priceNanosPerMillion, costNanos: lineNanos, saidNanos };
    });
    cost += attemptNanos;
    return { provider, lines: rated, costNanos: attemptNanos };
  });
  // None of them is negative, so that no attempt costs more than the call.
  checkAmount(cost, MAX_CALL_NANOS, "nano-dollars");
  checkAmount(said, MAX_CALL_NANOS, "nano-dollars by the router");
  return { usage, attempts, costNanos: cost, saidNanos: said, mismatched };
}

function checkAmount(amount: bigint, most: bigint, what: string): void {
  if (amount <= most) return;
  throw new WeirError("ARGUMENT_INVALID", `Cannot rate usage: ${amount} ${what} are more than ${most}`);
}
