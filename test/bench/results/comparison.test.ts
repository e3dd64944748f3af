import { describe, expect, it } from "vitest";
import { getCompared, getNoiseFloor, getPaired, isTie } from "./comparison.ts";
import { createSegments } from "./segments.fixture.ts";

const segments = [
  ...createSegments("s", "relay", { cpu: 10 }, { cpu: 20 }),
  ...createSegments("s", "weir", { cpu: 12 }, { cpu: 22 }),
  ...createSegments("s", "relay-again", { cpu: 9.5 }, { cpu: 22 }),
  ...createSegments("s", "direct", { totalP50: 100 }, { totalP50: 200 }),
  ...createSegments("s", "nginx", { totalP50: 150 }, { totalP50: 240 }),
  ...createSegments("s", "direct-again", { totalP50: 90 }, { totalP50: 205 }),
];

describe("comparison", () => {
  it("a ratio is made within each round, never of medians of different rounds", () => {
    const ratio = getPaired(segments, "ratio", "s", "weir", "relay", "cpu");
    expect(ratio).toMatchObject({ min: 1.1, max: 1.2, count: 2 });
  });

  it("CPU is compared with the bare relay, times with direct, and other figures with nothing", () => {
    expect(getCompared(segments, "s", "weir", "cpu")?.max).toBeCloseTo(1.2);
    expect(getCompared(segments, "s", "nginx", "totalP50")).toMatchObject({ min: 40, max: 50 });
    expect(getCompared(segments, "s", "weir", "rps")).toBeUndefined();
  });

  it("the noise floor is the farthest that two of the same were apart", () => {
    expect(getNoiseFloor(segments, "s", "cpu")).toBeCloseTo(0.1);
    expect(getNoiseFloor(segments, "s", "totalP50")).toBe(10);
    expect(getNoiseFloor([], "s", "cpu")).toBeUndefined();
  });

  it("what differs by no more than the noise floor is a tie", () => {
    const ratio = (median: number) => ({ median, min: median, max: median, count: 1 });
    expect(isTie(ratio(1.05), 0.1, "cpu")).toBe(true);
    expect(isTie(ratio(1.2), 0.1, "cpu")).toBe(false);
    expect(isTie(ratio(1.05), undefined, "cpu")).toBe(false);
  });

  it("a round that only one of the two has is not compared", () => {
    const lonely = [
      ...createSegments("s", "relay", { cpu: 10 }),
      ...createSegments("s", "weir", { cpu: 11 }, { cpu: 99 }),
    ];
    expect(getPaired(lonely, "ratio", "s", "weir", "relay", "cpu")?.count).toBe(1);
  });
});
