/** Usages for tests of metering: valid ones, to be changed where a test needs it. */
import { randomUUID } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type UsageRecorded,
  UsageRecordedBatchSchema,
  UsageRecordedSchema,
} from "../gen/weir/event/v1/usage_recorded_pb.ts";
import { Meter, Operation, OutcomeKind, UsageSource } from "../gen/weir/type/v1/usage_pb.ts";
import type { BusMessage } from "../services/shared/bus/consume.ts";
import { costNanos } from "../services/shared/money/money.ts";

/** What a test says of a usage; everything else is an ordinary chat. */
export interface UsageOptions {
  readonly eventId?: string;
  readonly region?: string;
  readonly instance?: string;
  readonly boot?: string;
  readonly seq?: bigint;
  readonly organisation?: string;
  readonly team?: string;
  readonly app?: string;
  readonly environment?: string;
  readonly keyId?: string;
  readonly endUser?: string;
  readonly model?: string;
  readonly endedMs?: number;
  readonly outcome?: OutcomeKind;
  /** Each attempt: its provider, and its lines as [meter, quantity, price in nano-dollars for a million]. */
  readonly attempts?: readonly { provider: string; lines: readonly (readonly [Meter, bigint, bigint])[] }[];
  /** What the router says beyond the right cost, in each line. Default 0. */
  readonly errorNanos?: bigint;
}

/** A UUIDv7 of this instant. Not `createEventId`, whose ids only rise: a test also needs those of days before. */
export function createEventIdAt(timeMs: number): string {
  const time = timeMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

/** Noon of the day of the tests. */
export const NOON_MS = Date.UTC(2026, 5, 15, 12);

/** An ordinary chat: one attempt of 1,000 tokens in and 500 out, at 2.50 and 10 dollars a million: 7,500,000 nano-dollars. */
export function createUsage(options: UsageOptions = {}): UsageRecorded {
  const endedMs = options.endedMs ?? NOON_MS;
  const attempts = options.attempts ?? [
    {
      provider: "openai-eu",
      lines: [
        [Meter.INPUT_TOKENS, 1_000n, 2_500_000_000n],
        [Meter.OUTPUT_TOKENS, 500n, 10_000_000_000n],
      ] as const,
    },
  ];
  return create(UsageRecordedSchema, {
    eventId: options.eventId ?? createEventIdAt(endedMs),
    producer: {
      region: options.region ?? "eu",
      instance: options.instance ?? "eu-1",
      boot: options.boot ?? "boot-1",
      seq: options.seq ?? 1n,
    },
    caller: {
      identity: { case: "keyId", value: options.keyId ?? "abcdefghij23" },
      organisation: options.organisation ?? "acme",
      team: options.team ?? "search",
      app: options.app ?? "assistant",
      environment: options.environment ?? "production",
      endUser: options.endUser ?? "",
    },
    operation: Operation.CHAT,
    model: options.model ?? "gpt-4o",
    outcome: options.outcome ?? OutcomeKind.ANSWERED,
    attempts: attempts.map(({ provider, lines }) => ({
      target: `${provider}/model`,
      provider,
      providerModel: "model",
      outcome: OutcomeKind.ANSWERED,
      providerStatus: 200,
      source: UsageSource.PROVIDER,
      lines: lines.map(([meter, quantity, price]) => ({
        meter,
        quantity,
        priceNanosPerMillion: price,
        costNanos: costNanos(quantity, price) + (options.errorNanos ?? 0n),
      })),
      startedAt: timestampFromMs(endedMs - 900),
      endedAt: timestampFromMs(endedMs),
    })),
    versions: { snapshotVersion: 3n, snapshotDigest: new Uint8Array(32).fill(7), keyringVersion: 2n },
    startedAt: timestampFromMs(endedMs - 1_000),
    endedAt: timestampFromMs(endedMs),
  } satisfies MessageInitShape<typeof UsageRecordedSchema>);
}

/** Usages with consecutive numbers of one producer, from `first`. */
export function createUsages(count: number, options: UsageOptions & { first?: bigint } = {}): UsageRecorded[] {
  const first = options.first ?? 1n;
  return Array.from({ length: count }, (_, index) => createUsage({ ...options, seq: first + BigInt(index) }));
}

/** A message as a router would send it. */
export function createUsageMessage(usages: readonly UsageRecorded[], changes: Partial<BusMessage> = {}): BusMessage {
  const [first, last] = [usages[0]?.producer, usages.at(-1)?.producer];
  return {
    subject: `usage.${first?.region}.${first?.instance}`,
    payload: toBinary(UsageRecordedBatchSchema, create(UsageRecordedBatchSchema, { usages: [...usages] })),
    messageId: `${first?.region}.${first?.instance}.${first?.boot}.${first?.seq}-${last?.seq}`,
    deliveries: 1,
    ...changes,
  };
}
