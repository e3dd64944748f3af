import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedBatchSchema, AuditRecordedSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
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

function read(...facts: Parameters<typeof create<typeof AuditRecordedSchema>>[1][]) {
  const records = facts.map((fact) => create(AuditRecordedSchema, fact));
  return readMessage(toBinary(AuditRecordedBatchSchema, create(AuditRecordedBatchSchema, { records })), "eu");
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
    expect(unfit).toMatchObject([{ reason, position: { producer: "eu-1", boot: "boot-1", seq: 1n } }]);
  });

  it.each([
    ["no producer", { ...good, producer: undefined }],
    ["the seq 0", { ...good, producer: { ...producer, seq: 0n } }],
    ["a name too long for an index", { ...good, producer: { ...producer, instance: "x".repeat(65) } }],
    ["a NUL in its boot", { ...good, producer: { ...producer, boot: "a\0" } }],
  ])("a fact with %s is unfit and has no place", (_, fact) => {
    const { unfit } = read(fact);
    expect(unfit).toMatchObject([{ reason: "MALFORMED" }]);
    expect(unfit[0]).not.toHaveProperty("position");
  });

  it("what is no batch, or too large a one, is parked whole", () => {
    const noise = Uint8Array.of(1, 2, 3);
    expect(readMessage(noise, "eu")).toMatchObject({ records: [], unfit: [{ reason: "MALFORMED", payload: noise }] });
    const many = read(...Array.from({ length: 501 }, () => good));
    expect(many.records).toEqual([]);
    expect(many.unfit).toHaveLength(1);
  });
});
