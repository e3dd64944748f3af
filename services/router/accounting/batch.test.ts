import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AuditRecordedBatchSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { BATCH_BYTES, Batch } from "./batch.ts";
import { FRAME_LIMIT_BYTES } from "./frame.ts";

const source = Buffer.alloc(FRAME_LIMIT_BYTES, 0xff);

describe("batch", () => {
  it("is a message of its facts, as they stand where they were taken from", () => {
    // Field 1, two bytes: a record id.
    const facts = Buffer.from("..\n\u0002ab\n\u0002cd..");
    const batch = new Batch();
    batch.add(5, facts, 2, 6);
    batch.add(6, facts, 6, 10);
    const message = fromBinary(AuditRecordedBatchSchema, batch.payload);
    expect(message.records.map(({ recordId }) => recordId)).toEqual(["ab", "cd"]);
    expect(Buffer.from(toBinary(AuditRecordedBatchSchema, message))).toEqual(batch.payload);
    expect([batch.firstSeq, batch.lastSeq, batch.count]).toEqual([5, 6, 2]);
  });

  it("takes no more facts and bytes than it may, and is empty again when cleared", () => {
    const batch = new Batch(3, 100);
    expect([batch.add(1, source, 0, 60), batch.add(2, source, 0, 60), batch.add(2, source, 0, 40)]).toEqual([
      true,
      false,
      true,
    ]);
    batch.clear();
    const taken = [1, 2, 3, 4].map((seq) => batch.add(seq, source, 0, 1));
    expect(taken).toEqual([true, true, true, false]);
    expect([batch.firstSeq, batch.lastSeq]).toEqual([1, 3]);
  });

  it("takes one fact of any size that an entry can have", () => {
    const batch = new Batch();
    expect(batch.add(1, source, 0, FRAME_LIMIT_BYTES)).toBe(true);
    expect(batch.payload.length).toBe(FRAME_LIMIT_BYTES + 4);
    expect(batch.add(2, source, 0, 1)).toBe(false);
  });

  it("holds as many bytes as it says, however many facts they are", () => {
    const batch = new Batch(Number.POSITIVE_INFINITY);
    let seq = 0;
    while (batch.add(seq + 1, source, 0, 128)) seq += 1;
    expect(seq).toBe(BATCH_BYTES / 128);
    expect(batch.payload.length).toBe(seq * 131);
  });
});
