import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { UsageRecordedSchema } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import { PriceSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { MatchedRuleSchema, PriorityClass, RuleEffect } from "../../../gen/weir/type/v1/decision_pb.ts";
import {
  type Meter,
  Operation,
  OutcomeKind,
  PinnedVersionsSchema,
  ProducerSchema,
  type UsageSource,
} from "../../../gen/weir/type/v1/usage_pb.ts";
import { createEventId } from "../../shared/ids.ts";
import { toAttempt, toTimestamp } from "./attempts.ts";
import { writeCallFacts } from "./call-facts.ts";
import { LIMITS_NAMED } from "./call-record.ts";
import { SAMPLE_MS, sampleAttempt, sampleCall, sampleOutcome, sampleTarget } from "./calls.fixture.ts";
import { toLabels } from "./encoded-parts.ts";
import { decodeFacts, type Facts } from "./facts-frame.ts";
import { createFrameWriter, FRAME_HEAD_BYTES, FrameType, openFrame } from "./frame.ts";
import type { AttemptOutcome, Outcome } from "./outcome.ts";
import { encodeProducer } from "./producer.ts";
import { RULES_NAMED } from "./rules-record.ts";
import { SpooledCall } from "./spooled-call.ts";
import type { BilledTarget, StartedCall, StartedRules } from "./started-call.ts";
import { writeStarted } from "./started-frame.ts";

const validator = createValidator();
const writer = createFrameWriter();
const producer = encodeProducer({ region: "eu", instance: "eu-1", boot: "life-1" });

function encode(started: StartedCall, outcome: Outcome, usageSeq = 3, recordSeq = 4): Facts {
  openFrame(writer, FrameType.FACTS);
  writeCallFacts(writer, started, outcome, producer, usageSeq, recordSeq);
  return decodeFacts(Buffer.from(writer.bytes.subarray(FRAME_HEAD_BYTES, writer.at)));
}

/** What the generated code makes of the same call: says what the bytes must be. */
function encodeByLibrary(started: StartedCall, outcome: Outcome, usageSeq: number, recordSeq: number): Facts {
  const { eventId, operation, model, versions } = started;
  const { region, instance, boot } = producer.name;
  const caller = create(CallerSchema, { ...started.caller, endUser: started.endUser });
  const attempts = outcome.attempts.map((attempt) => toAttempt(started, attempt));
  const startedAt = toTimestamp(started.startedAtMs);
  const endedAt = toTimestamp(outcome.endedAtMs);
  const usage = create(UsageRecordedSchema, {
    eventId,
    producer: create(ProducerSchema, { region, instance, boot, seq: BigInt(usageSeq) }),
    caller,
    operation,
    model,
    outcome: outcome.kind,
    attempts,
    versions,
    startedAt,
    endedAt,
  });
  const record = create(RecordSchema, {
    recordId: eventId,
    recordedAt: endedAt,
    region,
    instance,
    organisation: caller.organisation,
    act: {
      case: "call",
      value: {
        caller,
        operation,
        model,
        streamed: started.streamed,
        surface: started.surface,
        versions,
        limits: started.limits.slice(0, LIMITS_NAMED).map(({ id }) => id),
        candidates: [
          ...started.candidates.map(({ target, priority, weight, draw, isDeferred: deferred = false }) => ({
            target: target.id,
            result: { case: "score" as const, value: { priority, weight, draw: BigInt(draw), deferred } },
          })),
          ...started.rejected.map(({ target, reason, rule = "" }) => ({
            target: target.id,
            result: { case: "rejected" as const, value: reason },
            rule,
          })),
        ],
        outcome: outcome.kind,
        reason: outcome.reason ?? "",
        attempts,
        startedAt,
        endedAt,
        ...(started.rules && toRuled(started.rules)),
      },
    },
  });
  const recorded = create(AuditRecordedSchema, {
    recordId: eventId,
    producer: create(ProducerSchema, { region, instance, boot, seq: BigInt(recordSeq) }),
    organisation: caller.organisation,
    record: toBinary(RecordSchema, record),
  });
  return {
    eventId,
    usageSeq,
    recordSeq,
    usage: toBinary(UsageRecordedSchema, usage),
    record: toBinary(AuditRecordedSchema, recorded),
  };
}

function toRuled({ matched, askedOutputTokens = 0n, inputBytes, hasTools, labels, priorityClass }: StartedRules) {
  const ruling = {
    matched: matched.slice(0, RULES_NAMED),
    facts: { maxOutputTokens: askedOutputTokens, inputBytes: BigInt(inputBytes), hasTools, labels: toLabels(labels) },
    priorityClass: priorityClass ?? PriorityClass.UNSPECIFIED,
  };
  return { ruling };
}

const name = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ minLength: 126, maxLength: 130 }),
);
const instant = fc.oneof(
  fc.integer({ min: SAMPLE_MS, max: SAMPLE_MS + 10 ** 10 }),
  fc.constantFrom(0, 1, 999, 1000, -1, SAMPLE_MS + 0.75, 253_402_300_799_999),
);
const int64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 20_000_000_000n }),
  fc.bigInt({ min: 2n ** 53n - 2n, max: 2n ** 53n + 2n }),
);
const meter = fc.integer({ min: 1, max: 5 }) as fc.Arbitrary<Meter>;
const seq = fc.oneof(fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 2 ** 31 - 1, max: 2 ** 40 }));
const reason = fc.constantFrom(undefined, "PROVIDER_FAILED" as const, "CANCELLED" as const);
const kind = fc.integer({ min: 1, max: 6 }) as fc.Arbitrary<OutcomeKind>;

const target: fc.Arbitrary<BilledTarget> = fc.record({
  id: name,
  provider: name,
  model: name,
  prices: fc.array(
    fc.record({ meter, nanosPerMillion: int64 }).map((price) => create(PriceSchema, price)),
    { maxLength: 6 },
  ),
  maxOutputTokens: fc.bigInt({ min: 0n, max: 1_000_000n }),
});

const attempt = (targets: readonly BilledTarget[]): fc.Arbitrary<AttemptOutcome> =>
  fc
    .record(
      {
        target: fc.constantFrom(...targets),
        startedAtMs: instant,
        firstContentAtMs: instant,
        endedAtMs: instant,
        outcome: kind,
        reason,
        providerStatus: fc.constantFrom(0, 200, 429, 599, 600, -1),
        usage: fc.record({
          source: fc.integer({ min: 0, max: 3 }) as fc.Arbitrary<UsageSource>,
          quantities: fc
            .array(
              fc.tuple(meter, fc.oneof(fc.nat(1_000_000), fc.constantFrom(0, -1, 1.5, 10 ** 9, 10n ** 9n, 7n, -7n))),
            )
            .map((lines) => new Map<Meter, number | bigint>(lines)),
        }),
      },
      { requiredKeys: ["target", "startedAtMs", "endedAtMs", "outcome", "providerStatus"] },
    )
    .map(({ reason: why, ...rest }) => ({ ...rest, ...(why !== undefined && { reason: why }) })) as never;

const call = fc.array(target, { minLength: 1, maxLength: 4 }).chain((targets) =>
  fc.record({
    started: fc.record(
      {
        eventId: fc.integer({ min: 1, max: SAMPLE_MS }).map((ms) => createEventId(ms)),
        caller: fc
          .record({
            organisation: fc.string({ maxLength: 63 }),
            team: name,
            app: name,
            runId: name,
            step: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
          })
          .map((caller) => create(CallerSchema, { ...caller, identity: { case: "keyId", value: "abcdefghijkl" } })),
        endUser: name,
        operation: fc.constantFrom(Operation.CHAT, Operation.EMBEDDING),
        model: name,
        streamed: fc.boolean(),
        surface: name,
        versions: fc
          .record({
            snapshotVersion: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
            snapshotDigest: fc.uint8Array({ maxLength: 32 }),
            keyringVersion: fc.bigInt({ min: 0n, max: 100n }),
          })
          .map((versions) => create(PinnedVersionsSchema, versions)),
        startedAtMs: instant,
        limits: fc.array(fc.record({ id: name }), { maxLength: 3 }),
        candidates: fc.constant(targets).map((all) =>
          all.map((one, index) => ({
            target: one,
            priority: index - 1,
            weight: index * 300,
            draw: 10 ** (3 * index),
            ...(index === 1 && { isDeferred: true }),
          })),
        ),
        rejected: fc.array(
          fc.record({ target: fc.record({ id: name }), reason: name, rule: fc.option(name, { nil: undefined }) }),
          { maxLength: 2 },
        ),
        rules: fc.option(
          fc.record({
            matched: fc.array(
              fc
                .record({
                  rule: name,
                  effect: fc.integer({ min: 1, max: 8 }) as fc.Arbitrary<RuleEffect>,
                  failed: fc.boolean(),
                })
                .map((one) => create(MatchedRuleSchema, one)),
              { maxLength: 3 },
            ),
            askedOutputTokens: fc.option(fc.bigInt({ min: 0n, max: 2n ** 53n }), { nil: undefined }),
            inputBytes: fc.nat(1_000_000_000),
            hasTools: fc.boolean(),
            labels: fc.dictionary(fc.stringMatching(/^[a-z]{1,9}$/), fc.string({ maxLength: 30 }), {
              noNullPrototype: true,
            }),
            priorityClass: fc.constantFrom(undefined, PriorityClass.CRITICAL),
          }),
          { nil: undefined },
        ),
        requestBytes: fc.nat(1_000_000_000),
        maxOutputTokens: fc.bigInt({ min: 0n, max: 10_000n }),
        answers: fc.integer({ min: 1, max: 9 }),
      },
      { noNullPrototype: true },
    ) as fc.Arbitrary<StartedCall>,
    outcome: fc
      .record({ kind, reason, endedAtMs: instant, attempts: fc.array(attempt(targets), { maxLength: 4 }) })
      .map(({ reason: why, ...rest }) => ({
        ...rest,
        ...(why !== undefined && { reason: why }),
      })) as fc.Arbitrary<Outcome>,
    usageSeq: seq,
    recordSeq: seq,
  }),
);

describe("facts of a call", () => {
  it("are byte for byte what the generated code would write, for calls of every shape", () => {
    fc.assert(
      fc.property(call, ({ started, outcome, usageSeq, recordSeq }) => {
        const { usage, record, ...head } = encode(started, outcome, usageSeq, recordSeq);
        const expected = encodeByLibrary(started, outcome, usageSeq, recordSeq);
        expect(head).toEqual({ eventId: expected.eventId, usageSeq, recordSeq });
        expect(Buffer.from(usage).toString("hex")).toBe(Buffer.from(expected.usage).toString("hex"));
        expect(Buffer.from(record).toString("hex")).toBe(Buffer.from(expected.record).toString("hex"));
      }),
      { numRuns: 500 },
    );
  });

  it("never take more room than was set aside when the call began", () => {
    fc.assert(
      fc.property(call, ({ started, outcome }) => {
        openFrame(writer, FrameType.STARTED);
        writeStarted(writer, started);
        const aside = new SpooledCall(started, undefined as never).outcomeBytes(writer.at - FRAME_HEAD_BYTES);
        const once = outcome.attempts.filter(
          (one, index) => outcome.attempts.findIndex((other) => other.target === one.target) === index,
        );
        openFrame(writer, FrameType.FACTS);
        writeCallFacts(writer, started, { ...outcome, attempts: once }, producer, 2 ** 52, 2 ** 52);
        expect(writer.at).toBeLessThanOrEqual(aside);
      }),
      { numRuns: 300 },
    );
  });

  it("a usage is what the receiver's own check accepts", () => {
    const started = sampleCall();
    const usage = fromBinary(UsageRecordedSchema, encode(started, sampleOutcome()).usage);
    expect(validator.validate(UsageRecordedSchema, usage)).toMatchObject({ kind: "valid" });
    expect(usage).toMatchObject({ eventId: started.eventId, producer: { seq: 3n }, outcome: OutcomeKind.ANSWERED });
  });

  it("a record of the largest call there can be fits into an entry of the log", () => {
    const longTarget = sampleTarget("t".repeat(128));
    const started = sampleCall({
      limits: Array.from({ length: 1024 }, (_, index) => ({ id: `limit-${index}`.padEnd(63, "x") })),
      candidates: Array.from({ length: 64 }, () => ({ target: longTarget, priority: 0, weight: 1, draw: 999_999_999 })),
    });
    const attempts = Array.from({ length: 64 }, () => sampleAttempt({ target: longTarget }));
    const matched = Array.from({ length: 1024 }, (_, index) =>
      create(MatchedRuleSchema, { rule: `rule-${index}`.padEnd(63, "x"), effect: RuleEffect.DENY, failed: true }),
    );
    const labels = Object.fromEntries(
      Array.from({ length: 32 }, (_, index) => [`label-${index}`.padEnd(63, "x"), "v".repeat(63)]),
    );
    Object.assign(started, {
      rules: { matched, askedOutputTokens: 10n ** 15n, inputBytes: 10 ** 9, hasTools: true, labels, priorityClass: 3 },
    });
    const recorded = fromBinary(AuditRecordedSchema, encode(started, sampleOutcome(attempts)).record);
    expect(validator.validate(AuditRecordedSchema, recorded)).toMatchObject({ kind: "valid" });
    const record = fromBinary(RecordSchema, recorded.record);
    expect(validator.validate(RecordSchema, record)).toMatchObject({ kind: "valid" });
  });
});
