import { describe, expect, it } from "vitest";
import { createSegments } from "./segments.fixture.ts";
import { judge } from "./verdicts.ts";

const find = (verdicts: ReturnType<typeof judge>, must: string) =>
  verdicts.find((verdict) => verdict.must.startsWith(must));
const CPU = "CPU of a request, 0.4 KB, to the bare relay";

describe("verdicts", () => {
  it("a must within its target is met", () => {
    const segments = [
      ...createSegments("unary-0.4", "relay", { cpu: 10 }),
      ...createSegments("unary-0.4", "weir", { cpu: 12 }),
    ];
    expect(find(judge(segments), CPU)).toMatchObject({ result: "met", measured: "1.20 (1.20 to 1.20)" });
  });

  it("a must beyond its target is not met", () => {
    const segments = [
      ...createSegments("unary-0.4", "relay", { cpu: 10 }),
      ...createSegments("unary-0.4", "weir", { cpu: 13 }),
    ];
    expect(find(judge(segments), CPU)?.result).toBe("not met");
  });

  it("a must that is missed by less than the noise is not met", () => {
    const segments = [
      ...createSegments("unary-0.4", "relay", { cpu: 10 }),
      ...createSegments("unary-0.4", "relay-again", { cpu: 11 }),
      ...createSegments("unary-0.4", "weir", { cpu: 12.5 }),
    ];
    expect(find(judge(segments), CPU)?.result).toBe("not met");
  });

  it("a must that was not measured is open", () => {
    expect(judge([]).every(({ result }) => result === "open")).toBe(true);
  });

  it("a small ratio is told as a part of one", () => {
    const segments = [
      ...createSegments("unary-0.4", "portkey", { cpu: 600 }),
      ...createSegments("unary-0.4", "weir", { cpu: 40 }),
    ];
    expect(find(judge(segments), "CPU of a request, 0.4 KB, to Portkey")).toMatchObject({
      result: "met",
      measured: "1/15.0 (1/15.0 to 1/15.0)",
    });
  });

  it("one usage too few is not exact", () => {
    const exact = { chats: 10, usages: 10, parkedUsages: 0, records: 10 };
    expect(find(judge([], exact), "Every chat")?.result).toBe("met");
    expect(find(judge([], { ...exact, usages: 9 }), "Every chat")?.result).toBe("not met");
    expect(find(judge([], { ...exact, parkedUsages: 1 }), "Every chat")?.result).toBe("not met");
  });
});
