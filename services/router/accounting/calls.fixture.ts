/** Calls for the tests of this room. */
import { create } from "@bufbuild/protobuf";
import { PriceSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import {
  Meter,
  Operation,
  OutcomeKind,
  PinnedVersionsSchema,
  UsageSource,
} from "../../../gen/weir/type/v1/usage_pb.ts";
import { createEventId } from "../../shared/ids.ts";
import type { Accounting, OpenCall, SettledCall } from "./accounting.ts";
import type { AttemptOutcome, Outcome } from "./outcome.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

/** 2026-01-01T00:00:00Z. */
export const SAMPLE_MS = Date.UTC(2026, 0, 1);

/** A target at 2.50 dollars in, 10 dollars out. */
export function sampleTarget(id = "openai-eu/small"): BilledTarget {
  return {
    id,
    provider: "openai-eu",
    model: "gpt-5-mini",
    prices: [
      create(PriceSchema, { meter: Meter.INPUT_TOKENS, nanosPerMillion: 2_500_000_000n }),
      create(PriceSchema, { meter: Meter.CACHED_INPUT_TOKENS, nanosPerMillion: 250_000_000n }),
      create(PriceSchema, { meter: Meter.CACHE_WRITE_TOKENS, nanosPerMillion: 3_000_000_000n }),
      create(PriceSchema, { meter: Meter.OUTPUT_TOKENS, nanosPerMillion: 10_000_000_000n }),
      create(PriceSchema, { meter: Meter.REASONING_TOKENS, nanosPerMillion: 10_000_000_000n }),
    ],
    maxOutputTokens: 1_000n,
  };
}

/** The caller of the samples. */
export const SAMPLE_CALLER = create(CallerSchema, {
  identity: { case: "keyId", value: "abcdefghijkl" },
  organisation: "acme",
  team: "search",
  app: "answers",
  environment: "production",
});

/** A call that begins, with an id of its own. */
export function sampleCall(changes: Partial<StartedCall> = {}): StartedCall {
  return {
    eventId: createEventId(SAMPLE_MS),
    caller: SAMPLE_CALLER,
    operation: Operation.CHAT,
    model: "small",
    streamed: true,
    surface: "openai",
    versions: create(PinnedVersionsSchema, {
      snapshotVersion: 7n,
      snapshotDigest: new Uint8Array(32).fill(1),
      keyringVersion: 9n,
    }),
    startedAtMs: SAMPLE_MS,
    endUser: "",
    limits: [{ id: "fair" }],
    candidates: [{ target: sampleTarget(), priority: 0, weight: 1, draw: 999_999_999 }],
    rejected: [{ target: { id: "openai-eu/large" }, reason: "NO_TARGET" }],
    requestBytes: 400,
    ...changes,
  };
}

/** A call whose beginning is on disk. */
export interface BegunCall {
  readonly open: OpenCall;
  /** Settles it; resolves once its outcome is taken. */
  settle(outcome?: Outcome): Promise<SettledCall>;
}

/** Begins a call, and has that written. Rejects when it is refused. */
export async function beginCall(accounting: Accounting, started = sampleCall()): Promise<BegunCall> {
  const settled = Promise.withResolvers<void>();
  const open = accounting.begin(started, { onRefused: () => undefined, onSettled: settled.resolve });
  open.ensureBegun();
  return {
    open,
    settle: async (outcome = sampleOutcome()) => {
      const result = open.settle(outcome);
      await settled.promise;
      return result;
    },
  };
}

/** An attempt that was answered with 100 tokens in and 20 out. */
export function sampleAttempt(changes: Partial<AttemptOutcome> = {}): AttemptOutcome {
  return {
    target: sampleTarget(),
    startedAtMs: SAMPLE_MS,
    firstContentAtMs: SAMPLE_MS + 100,
    endedAtMs: SAMPLE_MS + 500,
    outcome: OutcomeKind.ANSWERED,
    providerStatus: 200,
    usage: {
      source: UsageSource.PROVIDER,
      quantities: new Map<Meter, number | bigint>([
        [Meter.INPUT_TOKENS, 100],
        [Meter.OUTPUT_TOKENS, 20n],
      ]),
    },
    ...changes,
  };
}

/** An answered call. */
export function sampleOutcome(attempts: readonly AttemptOutcome[] = [sampleAttempt()]): Outcome {
  return { kind: OutcomeKind.ANSWERED, endedAtMs: SAMPLE_MS + 500, attempts };
}
