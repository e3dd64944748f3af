import type { UsageRecorded } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import type { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { costNanos, MAX_NANOS } from "../../shared/money/money.ts";

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
 * ARGUMENT_INVALID when a cost, or their sum, does not fit int64.
 */
export function rateUsage(usage: UsageRecorded): RatedUsage {
  const attempts = usage.attempts.map(({ provider, lines }): RatedAttempt => {
    const rated = lines.map(
      (line): RatedLine => ({
        meter: line.meter,
        quantity: line.quantity,
        priceNanosPerMillion: line.priceNanosPerMillion,
        costNanos: costNanos(line.quantity, line.priceNanosPerMillion),
        saidNanos: line.costNanos,
      }),
    );
    return { provider, lines: rated, costNanos: sum(rated.map((line) => line.costNanos)) };
  });
  const lines = attempts.flatMap((attempt) => attempt.lines);
  return {
    usage,
    attempts,
    costNanos: sum(attempts.map((attempt) => attempt.costNanos)),
    saidNanos: sum(lines.map((line) => line.saidNanos)),
    mismatched: lines.some((line) => line.costNanos !== line.saidNanos),
  };
}

function sum(amounts: readonly bigint[]): bigint {
  const total = amounts.reduce((left, right) => left + right, 0n);
  if (total > MAX_NANOS) {
    throw new WeirError("ARGUMENT_INVALID", `Cannot rate usage: ${total} nano-dollars is more than ${MAX_NANOS}`);
  }
  return total;
}
