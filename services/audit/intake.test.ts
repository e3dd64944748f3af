import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedBatchSchema, AuditRecordedSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import type { BusMessage } from "../shared/bus/consume.ts";
import { readMessage } from "./intake.ts";

const RECORD_ID = "019a0000-0000-7000-8000-000000000001";
const producer = { region: "eu", instance: "eu-1", boot: "boot-1", seq: 1n };
const record = create(RecordSchema, {
  recordId: RECORD_ID,
  recordedAt: timestampFromMs(1_790_000_000_000),
  region: "eu",
  instance: "eu-1",
  organisation: "acme",
});
const bytes = toBinary(RecordSchema, record);
const good = { recordId: RECORD_ID, producer, organisation: "acme", record: bytes };

const createMessage = (payload: Uint8Array, messageId = "eu.eu-1.boot-1.1-1"): BusMessage => ({
  subject: "audit.eu.eu-1",
  payload,
  messageId,
  deliveries: 1,
});

function read(...facts: Parameters<typeof create<typeof AuditRecordedSchema>>[1][]) {
  const records = facts.map((fact) => create(AuditRecordedSchema, fact));
  const payload = toBinary(AuditRecordedBatchSchema, create(AuditRecordedBatchSchema, { records }));
  return readMessage(createMessage(payload), "eu");
}

describe("readMessage()", () => {
  it("hands on a record with its bytes as they came and its producer's place", () => {
    // Unknown fields are those of a newer producer: they are part of what was said.
    const newer = Buffer.concat([bytes, Buffer.from([0xfa, 0x06, 0x01, 0x41])]);
    const { records, unfit } = read({ ...good, record: newer });
    expect(unfit).toEqual([]);
    expect(records).toHaveLength(1);
    expect(Buffer.from(records[0]?.record ?? [])).toEqual(newer);
    expect(records[0]?.position).toEqual({ region: "eu", producer: "eu-1", boot: "boot-1", seq: 1n });
  });

  it.each([
    ["another region's record", "FOREIGN_REGION", { ...good, producer: { ...producer, region: "us" } }],
    ["an envelope with another id", "MISMATCH", { ...good, recordId: RECORD_ID.replace(/1$/, "2") }],
    ["an envelope with another organisation", "MISMATCH", { ...good, organisation: "other" }],
    ["a record that can't be decoded", "MALFORMED", { ...good, record: Uint8Array.of(0xff) }],
    ["a record of 60,001 bytes", "MALFORMED", { ...good, record: new Uint8Array(60_001) }],
    ["no record", "MALFORMED", { ...good, record: new Uint8Array() }],
    ["an id that is no UUID", "MALFORMED", { ...good, recordId: "1" }],
    ["an organisation in capitals", "MALFORMED", { ...good, organisation: "ACME" }],
  ])("%s is unfit, and known by its place", (_, reason, fact) => {
    const { records, unfit } = read(fact, { ...good, producer: { ...producer, seq: 2n } });
    expect(records).toHaveLength(1);
    expect(unfit).toMatchObject([{ reason, positions: [{ producer: "eu-1", boot: "boot-1", seq: 1n }] }]);
  });

  it.each([
    ["no producer", { ...good, producer: undefined }],
    ["the seq 0", { ...good, producer: { ...producer, seq: 0n } }],
    ["a name too long for an index", { ...good, producer: { ...producer, instance: "x".repeat(65) } }],
    ["a NUL in its boot", { ...good, producer: { ...producer, boot: "a\0" } }],
  ])("a fact with %s is unfit and has no place", (_, fact) => {
    const { unfit } = read(fact);
    expect(unfit).toMatchObject([{ reason: "MALFORMED", positions: [] }]);
  });

  it("a fact that is broken does not take its neighbours with it, and the message's id tells its place", () => {
    const whole = toBinary(AuditRecordedBatchSchema, create(AuditRecordedBatchSchema, { records: [good] }));
    const broken = Uint8Array.of(0x0a, 0xff);
    const payload = Uint8Array.of(...whole, 0x0a, broken.length, ...broken);

    const { records, unfit } = readMessage(createMessage(payload, "eu.eu-1.boot-1.1-2"), "eu");

    expect(records).toHaveLength(1);
    expect(unfit).toMatchObject([
      { reason: "MALFORMED", payload: broken, positions: [{ producer: "eu-1", boot: "boot-1", seq: 2n }] },
    ]);
  });

  it("what is no batch is parked whole, and counts as all that its id says are in it", () => {
    const noise = Uint8Array.of(1, 2, 3);

    const { records, unfit } = readMessage(createMessage(noise, "eu.eu-1.boot-1.4-6"), "eu");

    expect(records).toEqual([]);
    expect(unfit).toMatchObject([
      { reason: "MALFORMED", payload: noise, positions: [{ seq: 4n }, { seq: 5n }, { seq: 6n }] },
    ]);
  });
});
