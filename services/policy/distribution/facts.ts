import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { PolicyPublishedSchema } from "../../../gen/weir/event/v1/policy_published_pb.ts";
import type { OutboxFact } from "../../shared/database/outbox.ts";

/** Where the records of the control plane belong. */
export const CONTROL_REGION = "control";
/** Name of the producer of all records of policy: its instances share one outbox and so one row of numbers. */
export const PRODUCER = "policy";
/** Where those records go on the bus. */
export const AUDIT_SUBJECT = `audit.${CONTROL_REGION}.${PRODUCER}`;

/** The fact that a version was published. */
export function createPublishedFact(
  event: MessageInitShape<typeof PolicyPublishedSchema> & { eventId: string },
): OutboxFact {
  const message = create(PolicyPublishedSchema, event);
  return {
    subject: `policy.${message.organisation}.published`,
    eventId: message.eventId,
    payload: toBinary(PolicyPublishedSchema, message),
  };
}

/** What was done, for a record. */
export interface RecordedAct {
  /** UUIDv7. */
  readonly recordId: string;
  readonly at: Date;
  /** Id of the organisation that it belongs to. */
  readonly organisation: string;
  readonly act: NonNullable<MessageInitShape<typeof RecordSchema>["act"]>;
}

/** The fact that something is on record. Its place among the producer's facts is filled in when it is told. */
export function createRecordFact({ recordId, at, organisation, act }: RecordedAct): OutboxFact {
  const record = create(RecordSchema, {
    recordId,
    recordedAt: timestampFromDate(at),
    region: CONTROL_REGION,
    instance: PRODUCER,
    organisation,
    act,
  });
  const fact = create(AuditRecordedSchema, { recordId, organisation, record: toBinary(RecordSchema, record) });
  return { subject: AUDIT_SUBJECT, eventId: recordId, payload: toBinary(AuditRecordedSchema, fact) };
}
