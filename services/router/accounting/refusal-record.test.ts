import { fromBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { SAMPLE_CALLER, SAMPLE_MS, sampleCall } from "./calls.fixture.ts";
import { encodeRefusalRecord } from "./refusal-record.ts";

const producer = { region: "eu", instance: "eu-1", boot: "life-1" };

describe("record of refusals", () => {
  it("refusals become one record with their count", () => {
    const refusals = {
      caller: SAMPLE_CALLER,
      reason: "RULE_DENIED",
      rule: "no-batch",
      count: 12,
      firstAtMs: SAMPLE_MS,
      lastAtMs: SAMPLE_MS + 1,
    };
    const recorded = fromBinary(AuditRecordedSchema, encodeRefusalRecord(sampleCall().eventId, refusals, producer, 1));
    expect(createValidator().validate(AuditRecordedSchema, recorded)).toMatchObject({ kind: "valid" });
    const { act } = fromBinary(RecordSchema, recorded.record);
    expect(act).toMatchObject({ case: "refusal", value: { count: 12n, reason: "RULE_DENIED", rule: "no-batch" } });
  });
});
