import { describe, expect, it } from "vitest";
import { createRandom, fitLine, quantile, shuffle, toSpread } from "./statistics.ts";

describe("statistics", () => {
  it("a spread has the middle, the least and the most, in whatever order the values come", () => {
    expect(toSpread([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5, count: 3 });
    expect(toSpread([4, 1, 3, 2])?.median).toBe(2.5);
  });

  it("values that are missing or no numbers are left out of a spread, and of none there is no spread", () => {
    expect(toSpread([undefined, 2, Number.NaN])).toEqual({ median: 2, min: 2, max: 2, count: 1 });
    expect(toSpread([undefined])).toBeUndefined();
  });

  it("quantile() goes by line between neighbours", () => {
    expect(quantile([0, 10, 20], 0.25)).toBe(5);
    expect(quantile([7], 0.99)).toBe(7);
  });

  it("fitLine() finds the slope of a line without error", () => {
    const points = [0, 1, 2, 3].map((x) => ({ x, y: 2 * x + 1 }));
    const { slope, error } = fitLine(points);
    expect(slope).toBeCloseTo(2, 10);
    expect(error).toBeCloseTo(0, 10);
  });

  it("fitLine() knows no error of fewer than three points", () => {
    expect(
      fitLine([
        { x: 0, y: 0 },
        { x: 1, y: 1 },
      ]).error,
    ).toBeNaN();
  });

  it("the same seed gives the same order, with every item in it once", () => {
    const items = ["a", "b", "c", "d", "e"];
    const once = shuffle(items, createRandom(7));
    expect(shuffle(items, createRandom(7))).toEqual(once);
    expect([...once].sort()).toEqual(items);
    expect(items).toEqual(["a", "b", "c", "d", "e"]);
  });
});
