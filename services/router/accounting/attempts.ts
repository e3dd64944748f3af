import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Attempt, AttemptSchema, UsageLineSchema, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import { findBilledUsage, findLine, METERS } from "./billed-lines.ts";
import type { AttemptOutcome } from "./outcome.ts";
import type { StartedCall } from "./started-call.ts";

/** An attempt as usage and record tell it, as a message: for those who show it. The spool writes its bytes without one. */
export function toAttempt(started: StartedCall, attempt: AttemptOutcome): Attempt {
  const { target, firstContentAtMs } = attempt;
  const usage = findBilledUsage(started, attempt);
  const lines = METERS.flatMap((meter) => (usage === undefined ? [] : (findLine(usage, target, meter) ?? [])));
  return create(AttemptSchema, {
    target: target.id,
    provider: target.provider,
    providerModel: target.model,
    outcome: attempt.outcome,
    reason: attempt.reason ?? "",
    providerStatus: toStatus(attempt),
    source: usage?.source ?? UsageSource.UNSPECIFIED,
    lines: lines.map(({ meter, quantity, priceNanosPerMillion, costNanos }) =>
      create(UsageLineSchema, {
        meter,
        quantity: BigInt(quantity),
        priceNanosPerMillion: BigInt(priceNanosPerMillion),
        costNanos: BigInt(costNanos),
      }),
    ),
    startedAt: toTimestamp(attempt.startedAtMs),
    ...(firstContentAtMs === undefined ? {} : { firstContentAt: toTimestamp(firstContentAtMs) }),
    endedAt: toTimestamp(attempt.endedAtMs),
  });
}

/** The status that a provider answered with, if it is one; else 0. */
export function toStatus({ providerStatus }: AttemptOutcome): number {
  return providerStatus >= 0 && providerStatus <= 599 ? providerStatus : 0;
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
