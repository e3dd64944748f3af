import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Attempt,
  AttemptSchema,
  Meter,
  OutcomeKind,
  type UsageLine,
  UsageLineSchema,
  UsageSource,
} from "../../../gen/weir/type/v1/usage_pb.ts";
import { costNanos } from "../../shared/money/money.ts";
import { boundUsage, priceOf } from "./bound.ts";
import type { AttemptOutcome, MeasuredUsage } from "./outcome.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

const METERS: readonly Meter[] = [
  Meter.INPUT_TOKENS,
  Meter.CACHED_INPUT_TOKENS,
  Meter.CACHE_WRITE_TOKENS,
  Meter.OUTPUT_TOKENS,
  Meter.REASONING_TOKENS,
];
const MAX_QUANTITY = 2n ** 53n;

/** An attempt as usage and record tell it: measured or bounded, and priced. */
export function toAttempt(started: StartedCall, attempt: AttemptOutcome): Attempt {
  const { target, firstContentAtMs } = attempt;
  const usage = attempt.usage ?? (mayBeBilled(attempt) ? boundUsage(started, target) : undefined);
  return create(AttemptSchema, {
    target: target.id,
    provider: target.provider,
    providerModel: target.model,
    outcome: attempt.outcome,
    reason: attempt.reason ?? "",
    providerStatus: attempt.providerStatus >= 0 && attempt.providerStatus <= 599 ? attempt.providerStatus : 0,
    source: usage?.source ?? UsageSource.UNSPECIFIED,
    lines: usage === undefined ? [] : toLines(usage, target),
    startedAt: toTimestamp(attempt.startedAtMs),
    ...(firstContentAtMs === undefined ? {} : { firstContentAt: toTimestamp(firstContentAtMs) }),
    endedAt: toTimestamp(attempt.endedAtMs),
  });
}

/** Sum of the lines of attempts, in nano-dollars. */
export function sumCostNanos(attempts: readonly Attempt[]): bigint {
  let sum = 0n;
  for (const { lines } of attempts) for (const line of lines) sum += line.costNanos;
  return sum;
}

/** An instant as it stands in messages: whole milliseconds. */
export function toTimestamp(ms: number): Timestamp {
  return timestampFromMs(Math.floor(ms));
}

// What began to answer has worked, and bills it, whether or not we hear how much. One that failed before any content is taken
// at its word: billing its bound would make callers pay for a broken provider.
function mayBeBilled({ firstContentAtMs, outcome }: AttemptOutcome): boolean {
  return firstContentAtMs !== undefined || outcome === OutcomeKind.ANSWERED || outcome === OutcomeKind.CUT;
}

function toLines({ quantities }: MeasuredUsage, target: BilledTarget): UsageLine[] {
  const lines: UsageLine[] = [];
  for (const meter of METERS) {
    const quantity = toQuantity(quantities.get(meter));
    if (quantity === 0n) continue;
    const price = priceOf(target, meter);
    lines.push(
      create(UsageLineSchema, {
        meter,
        quantity,
        priceNanosPerMillion: price,
        costNanos: costNanos(quantity, price),
      }),
    );
  }
  return lines;
}

/** A quantity comes from a provider's JSON: what is no count must not become a bill, or a crash while an outcome is written. */
function toQuantity(value: number | bigint | undefined): bigint {
  if (typeof value === "bigint") return value < 0n ? 0n : value > MAX_QUANTITY ? MAX_QUANTITY : value;
  return value === undefined || !Number.isSafeInteger(value) || value < 0 ? 0n : BigInt(value);
}
