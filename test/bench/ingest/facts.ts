import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { UsageRecordedSchema } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import { type Caller, CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { CandidateSchema } from "../../../gen/weir/type/v1/decision_pb.ts";
import {
  type Attempt,
  AttemptSchema,
  Meter,
  Operation,
  OutcomeKind,
  type PinnedVersions,
  PinnedVersionsSchema,
  type Producer,
  ProducerSchema,
  UsageSource,
} from "../../../gen/weir/type/v1/usage_pb.ts";
import { createEventId } from "../../../services/shared/ids.ts";
import { costNanos } from "../../../services/shared/money/money.ts";

/** Facts in a message, as a router that is behind sends them. */
const FACTS_IN_MESSAGE = 500;

/** Which facts are made. */
export interface FactOptions {
  readonly region: string;
  readonly instance: string;
  /** A life of its own for each round: its seqs begin at 1. */
  readonly boot: string;
  readonly count: number;
  /** When the calls ended, in milliseconds since 1970. */
  readonly nowMs: number;
}

/** A message for the bus. */
export interface EncodedMessage {
  readonly subject: string;
  readonly messageId: string;
  readonly payload: Uint8Array;
}

const KEYS = 60;
const MODELS = ["gpt-4o", "gpt-4o-mini", "o3", "claude-sonnet", "claude-haiku", "mistral-large", "llama-70b", "gemini"];
const PROVIDERS = ["openai-eu", "azure-eu", "anthropic-eu", "mistral"];
const FALLBACK_EVERY = 10;
const STREAM_EVERY = 2;

/** Usages of calls of 60 keys in 6 teams and for 8 models; every tenth call fell back to a second provider after a failure. */
export function encodeUsages(options: FactOptions): EncodedMessage[] {
  return encodeMessages("usage", options, (producer, eventId, index) =>
    toBinary(
      UsageRecordedSchema,
      create(UsageRecordedSchema, {
        eventId,
        producer,
        caller: CALLERS[index % KEYS]!,
        operation: Operation.CHAT,
        model: modelOf(index),
        outcome: OutcomeKind.ANSWERED,
        attempts: createAttempts(index, options.nowMs),
        versions: VERSIONS,
        startedAt: timestampFromMs(options.nowMs - 900),
        endedAt: timestampFromMs(options.nowMs),
      }),
    ),
  );
}

/** Records of the same calls, with two candidates each. */
export function encodeRecords(options: FactOptions): EncodedMessage[] {
  return encodeMessages("audit", options, (producer, recordId, index) => {
    const caller = CALLERS[index % KEYS]!;
    const endedAt = timestampFromMs(options.nowMs);
    const record = create(RecordSchema, {
      recordId,
      recordedAt: endedAt,
      region: options.region,
      instance: options.instance,
      organisation: caller.organisation,
      act: {
        case: "call",
        value: {
          caller,
          operation: Operation.CHAT,
          model: modelOf(index),
          streamed: index % STREAM_EVERY === 0,
          surface: "openai",
          versions: VERSIONS,
          limits: ["fair"],
          candidates: CANDIDATES,
          outcome: OutcomeKind.ANSWERED,
          attempts: createAttempts(index, options.nowMs),
          startedAt: timestampFromMs(options.nowMs - 900),
          endedAt,
        },
      },
    });
    return toBinary(
      AuditRecordedSchema,
      create(AuditRecordedSchema, {
        recordId,
        producer,
        organisation: caller.organisation,
        record: toBinary(RecordSchema, record),
      }),
    );
  });
}

function encodeMessages(
  kind: "usage" | "audit",
  { region, instance, boot, count, nowMs }: FactOptions,
  encode: (producer: Producer, id: string, index: number) => Uint8Array,
): EncodedMessage[] {
  const messages: EncodedMessage[] = [];
  for (let start = 0; start < count; start += FACTS_IN_MESSAGE) {
    const end = Math.min(count, start + FACTS_IN_MESSAGE);
    const parts: Uint8Array[] = [];
    for (let index = start; index < end; index++) {
      const producer = create(ProducerSchema, { region, instance, boot, seq: BigInt(index + 1) });
      const fact = encode(producer, createEventId(nowMs), index);
      parts.push(toHead(fact.length), fact);
    }
    messages.push({
      subject: `${kind}.${region}.${instance}`,
      messageId: `${region}.${instance}.${boot}.${start + 1}-${end}`,
      payload: Buffer.concat(parts),
    });
  }
  return messages;
}

// Field 1, length-delimited, of both batches, as a router puts its facts together.
function toHead(length: number): Uint8Array {
  const head = [0x0a];
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return Uint8Array.from(head);
}

function createAttempts(index: number, endedMs: number): Attempt[] {
  const answered = createAttempt(PROVIDERS[index % PROVIDERS.length]!, index, endedMs);
  if (index % FALLBACK_EVERY !== 0) return [answered];
  const failed = create(AttemptSchema, {
    target: "azure-us/large",
    provider: "azure-us",
    providerModel: "large",
    outcome: OutcomeKind.FAILED,
    reason: "UPSTREAM_ERROR",
    providerStatus: 503,
    startedAt: timestampFromMs(endedMs - 890),
    endedAt: timestampFromMs(endedMs - 800),
  });
  return [failed, answered];
}

function createAttempt(provider: string, index: number, endedMs: number): Attempt {
  const line = (meter: Meter, quantity: bigint, price: bigint) => ({
    meter,
    quantity,
    priceNanosPerMillion: price,
    costNanos: costNanos(quantity, price),
  });
  return create(AttemptSchema, {
    target: `${provider}/${modelOf(index)}`,
    provider,
    providerModel: `${modelOf(index)}-2026-01-01`,
    outcome: OutcomeKind.ANSWERED,
    providerStatus: 200,
    source: UsageSource.PROVIDER,
    lines: [
      line(Meter.INPUT_TOKENS, BigInt(200 + (index % 4_000)), 2_500_000_000n),
      line(Meter.OUTPUT_TOKENS, BigInt(1 + (index % 700)), 10_000_000_000n),
      ...(index % 3 === 0 ? [line(Meter.CACHED_INPUT_TOKENS, BigInt(index % 2_000), 250_000_000n)] : []),
    ],
    startedAt: timestampFromMs(endedMs - 790),
    firstContentAt: timestampFromMs(endedMs - 500),
    endedAt: timestampFromMs(endedMs),
  });
}

function modelOf(index: number): string {
  return MODELS[index % MODELS.length]!;
}

const CALLERS: readonly Caller[] = Array.from({ length: KEYS }, (_, index) =>
  create(CallerSchema, {
    identity: {
      case: "keyId",
      value: `abcdefghij${"abcdefghijklmnopqrstuvwxyz"[index % 26]}${2 + Math.floor(index / 26)}`,
    },
    organisation: `org-${index % 3}`,
    team: `team-${index % 6}`,
    app: `app-${index % 12}`,
    environment: index % 4 === 0 ? "staging" : "production",
    runId: index % 5 === 0 ? "0190a1b2-run" : "",
    endUser: index % 7 === 0 ? "user-42" : "",
  }),
);

const VERSIONS: PinnedVersions = create(PinnedVersionsSchema, {
  snapshotVersion: 12n,
  snapshotDigest: new Uint8Array(32).fill(7),
  keyringVersion: 41n,
});

const CANDIDATES = [
  create(CandidateSchema, {
    target: "openai-eu/large",
    result: { case: "score", value: { priority: 0, weight: 1, draw: 999_999_999n } },
  }),
  create(CandidateSchema, { target: "azure-us/large", result: { case: "rejected", value: "NO_TARGET" } }),
];
