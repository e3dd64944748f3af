import { create, toBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import { ProducerSchema } from "../../../gen/weir/type/v1/usage_pb.ts";
import { toTimestamp } from "./attempts.ts";
import type { ProducerName } from "./producer.ts";

/** Some refusals of one key for one reason, by one rule if it was a rule. */
export interface CountedRefusals {
  readonly caller: Caller;
  readonly reason: string;
  /** Id of the rule that denied them; empty when none did. */
  readonly rule: string;
  /** From 1. */
  readonly count: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

/** The record of some refusals, encoded as it travels. They are few, so the library does it. */
export function encodeRefusalRecord(
  recordId: string,
  refusals: CountedRefusals,
  { region, instance, boot }: ProducerName,
  seq: number,
): Uint8Array {
  const { caller, reason, rule, count, firstAtMs, lastAtMs } = refusals;
  const { organisation } = caller;
  const record = create(RecordSchema, {
    recordId,
    recordedAt: toTimestamp(lastAtMs),
    region,
    instance,
    organisation,
    act: {
      case: "refusal",
      value: {
        caller,
        reason,
        count: BigInt(count),
        firstAt: toTimestamp(firstAtMs),
        lastAt: toTimestamp(lastAtMs),
        rule,
      },
    },
  });
  return toBinary(
    AuditRecordedSchema,
    create(AuditRecordedSchema, {
      recordId,
      producer: create(ProducerSchema, { region, instance, boot, seq: BigInt(seq) }),
      organisation,
      record: toBinary(RecordSchema, record),
    }),
  );
}
