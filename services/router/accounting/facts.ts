import { create, toBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { UsageRecordedSchema } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import { type Attempt, type Producer, ProducerSchema } from "../../../gen/weir/type/v1/usage_pb.ts";
import { toTimestamp } from "./attempts.ts";
import type { Outcome } from "./outcome.ts";
import type { StartedCall } from "./started-call.ts";

/** Whose facts they are: one life of one router. */
export interface ProducerName {
  /** Id of the region. */
  readonly region: string;
  /** Name of the router, the same after a restart. */
  readonly instance: string;
  /** Id of its life. */
  readonly boot: string;
}

/** Some refusals of one key for one reason. */
export interface CountedRefusals {
  readonly caller: Caller;
  readonly reason: string;
  /** From 1. */
  readonly count: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

/** Limits named in a record: a record has 60,000 bytes at most, and a call under more of them is told by these. */
const LIMITS_NAMED = 128;

/** The usage of a call, encoded as it travels. */
export function encodeUsage(
  started: StartedCall,
  outcome: Outcome,
  attempts: Attempt[],
  producer: ProducerName,
  seq: number,
): Uint8Array {
  return toBinary(
    UsageRecordedSchema,
    create(UsageRecordedSchema, {
      eventId: started.eventId,
      producer: toProducer(producer, seq),
      caller: started.caller,
      operation: started.operation,
      model: started.model,
      outcome: outcome.kind,
      attempts,
      versions: started.versions,
      startedAt: toTimestamp(started.startedAtMs),
      endedAt: toTimestamp(outcome.endedAtMs),
    }),
  );
}

/** The record of a call, encoded as it travels. */
export function encodeCallRecord(
  started: StartedCall,
  outcome: Outcome,
  attempts: Attempt[],
  producer: ProducerName,
  seq: number,
): Uint8Array {
  const endedAt = toTimestamp(outcome.endedAtMs);
  const record = create(RecordSchema, {
    recordId: started.eventId,
    recordedAt: endedAt,
    region: producer.region,
    instance: producer.instance,
    organisation: started.caller.organisation,
    act: {
      case: "call",
      value: {
        caller: started.caller,
        operation: started.operation,
        model: started.model,
        streamed: started.streamed,
        surface: started.surface,
        versions: started.versions,
        limits: started.limits.slice(0, LIMITS_NAMED),
        candidates: [...started.candidates],
        outcome: outcome.kind,
        reason: outcome.reason ?? "",
        attempts,
        startedAt: toTimestamp(started.startedAtMs),
        endedAt,
      },
    },
  });
  return encodeRecorded(started.eventId, toBinary(RecordSchema, record), started.caller, producer, seq);
}

/** The record of some refusals, encoded as it travels. */
export function encodeRefusalRecord(
  recordId: string,
  refusals: CountedRefusals,
  producer: ProducerName,
  seq: number,
): Uint8Array {
  const { caller, reason, count, firstAtMs, lastAtMs } = refusals;
  const record = create(RecordSchema, {
    recordId,
    recordedAt: toTimestamp(lastAtMs),
    region: producer.region,
    instance: producer.instance,
    organisation: caller.organisation,
    act: {
      case: "refusal",
      value: {
        caller,
        reason,
        count: BigInt(count),
        firstAt: toTimestamp(firstAtMs),
        lastAt: toTimestamp(lastAtMs),
      },
    },
  });
  return encodeRecorded(recordId, toBinary(RecordSchema, record), caller, producer, seq);
}

function encodeRecorded(
  recordId: string,
  record: Uint8Array,
  { organisation }: Caller,
  producer: ProducerName,
  seq: number,
): Uint8Array {
  return toBinary(
    AuditRecordedSchema,
    create(AuditRecordedSchema, { recordId, producer: toProducer(producer, seq), organisation, record }),
  );
}

function toProducer({ region, instance, boot }: ProducerName, seq: number): Producer {
  return create(ProducerSchema, { region, instance, boot, seq: BigInt(seq) });
}
