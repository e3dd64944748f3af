import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { SAMPLE_CALLER } from "./calls.fixture.ts";
import { RefusalCounts } from "./refusals.ts";

describe("refusals", () => {
  it("a thousand refusals of one key for one reason are one after their minute", () => {
    const counts = new RefusalCounts();
    for (let index = 0; index < 1_000; index++) counts.add(SAMPLE_CALLER, "RATE_LIMITED", index);
    expect(counts.takeDue(59_999)).toBeUndefined();
    expect(counts.takeDue(60_000)).toMatchObject({ count: 1_000, firstAtMs: 0, lastAtMs: 999 });
    expect(counts.takeDue(60_000)).toBeUndefined();
  });

  it("each reason is counted for itself", () => {
    const counts = new RefusalCounts();
    counts.add(SAMPLE_CALLER, "RATE_LIMITED", 0);
    counts.add(SAMPLE_CALLER, "MODEL_UNKNOWN", 0);
    expect([counts.takeDue(60_000)?.reason, counts.takeDue(60_000)?.reason]).toEqual(["RATE_LIMITED", "MODEL_UNKNOWN"]);
  });

  it("each rule that denies is counted for itself", () => {
    const counts = new RefusalCounts();
    for (const rule of ["night", "batch", "night"]) counts.add(SAMPLE_CALLER, "RULE_DENIED", 0, rule);
    expect(counts.takeDue(60_000)).toMatchObject({ reason: "RULE_DENIED", rule: "night", count: 2 });
    expect(counts.takeDue(60_000)).toMatchObject({ rule: "batch", count: 1 });
  });

  it("a clock that was set back by an hour holds none of them back", () => {
    const counts = new RefusalCounts();
    counts.add(SAMPLE_CALLER, "RATE_LIMITED", 3_600_000);
    counts.add(SAMPLE_CALLER, "MODEL_UNKNOWN", 1);

    expect([counts.takeDue(1)?.reason, counts.takeDue(1)?.reason]).toEqual(["RATE_LIMITED", undefined]);
  });

  it("memory is bounded: beyond ten thousand the longest counted is due at once", () => {
    const counts = new RefusalCounts();
    for (let index = 0; index <= 10_000; index++) {
      const caller = create(CallerSchema, { identity: { case: "keyId", value: String(index) } });
      counts.add(caller, "RATE_LIMITED", 0);
    }
    expect(counts.takeDue(0)?.caller.identity.value).toBe("0");
    expect(counts.takeDue(0)).toBeUndefined();
  });

  it("while nothing can be written, pairs beyond twenty thousand are not counted at all", () => {
    const counts = new RefusalCounts();
    for (let index = 0; index < 20_001; index++) {
      const caller = create(CallerSchema, { identity: { case: "keyId", value: String(index) } });
      counts.add(caller, "RATE_LIMITED", 0);
    }
    expect(counts.size).toBe(20_000);
  });
});
