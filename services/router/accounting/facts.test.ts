import { fromBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { UsageRecordedSchema } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import { OutcomeKind } from "../../../gen/weir/type/v1/usage_pb.ts";
import { toAttempt } from "./attempts.ts";
import { SAMPLE_CALLER, SAMPLE_MS, sampleAttempt, sampleCall, sampleOutcome, sampleTarget } from "./calls.fixture.ts";
import { encodeCallRecord, encodeRefusalRecord, encodeUsage } from "./facts.ts";

const validator = createValidator();
const producer = { region: "eu", instance: "eu-1", boot: "life-1" };
const longTarget = sampleTarget("t".repeat(128));

describe("facts", () => {
  it("a usage is what the receiver's own check accepts", () => {
    const started = sampleCall();
    const attempts = [toAttempt(started, sampleAttempt())];
    const usage = fromBinary(UsageRecordedSchema, encodeUsage(started, sampleOutcome(), attempts, producer, 3));
    expect(validator.validate(UsageRecordedSchema, usage)).toMatchObject({ kind: "valid" });
    expect(usage).toMatchObject({ eventId: started.eventId, producer: { seq: 3n }, outcome: OutcomeKind.ANSWERED });
  });

  it("a record of the largest call there can be fits into an entry of the log", () => {
    const started = sampleCall({
      limits: Array.from({ length: 1024 }, (_, index) => `limit-${index}`.padEnd(63, "x")),
      candidates: Array.from({ length: 64 }, () => sampleCall().candidates[0]!),
      targets: Array.from({ length: 64 }, () => longTarget),
    });
    const attempts = Array.from({ length: 64 }, () => toAttempt(started, sampleAttempt({ target: longTarget })));
    const recorded = fromBinary(AuditRecordedSchema, encodeCallRecord(started, sampleOutcome(), attempts, producer, 1));
    expect(validator.validate(AuditRecordedSchema, recorded)).toMatchObject({ kind: "valid" });
    const record = fromBinary(RecordSchema, recorded.record);
    expect(validator.validate(RecordSchema, record)).toMatchObject({ kind: "valid" });
  });

  it("refusals become one record with their count", () => {
    const refusals = {
      caller: SAMPLE_CALLER,
      reason: "RATE_LIMITED",
      count: 12,
      firstAtMs: SAMPLE_MS,
      lastAtMs: SAMPLE_MS + 1,
    };
    const recorded = fromBinary(AuditRecordedSchema, encodeRefusalRecord(sampleCall().eventId, refusals, producer, 1));
    expect(validator.validate(AuditRecordedSchema, recorded)).toMatchObject({ kind: "valid" });
    const { act } = fromBinary(RecordSchema, recorded.record);
    expect(act).toMatchObject({ case: "refusal", value: { count: 12n, reason: "RATE_LIMITED" } });
  });
});
