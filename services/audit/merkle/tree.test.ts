import { describe, expect, it } from "vitest";
import { coverRange, joinCover, splitPoint } from "./tree.ts";

describe("coverRange()", () => {
  it("covers a range once, from left to right, with aligned complete subtrees", () => {
    for (let size = 0n; size <= 130n; size++) {
      let position = 0n;
      for (const { level, index } of coverRange(0n, size)) {
        expect(index << BigInt(level)).toBe(position);
        position += 1n << BigInt(level);
      }
      expect(position).toBe(size);
    }
  });

  it("is as short as the size has binary ones", () => {
    expect(coverRange(0n, 2n ** 59n)).toEqual([{ level: 59, index: 0n }]);
    expect(coverRange(0n, 2n ** 59n - 1n)).toHaveLength(59);
    expect(coverRange(4n, 7n)).toEqual([
      { level: 1, index: 2n },
      { level: 0, index: 6n },
    ]);
  });
});

describe("splitPoint()", () => {
  it.each([
    [2n, 1n],
    [3n, 2n],
    [4n, 2n],
    [5n, 4n],
    [8n, 4n],
    [9n, 8n],
    [2n ** 40n, 2n ** 39n],
  ])("a tree of %s leaves splits at %s", (size, split) => {
    expect(splitPoint(size)).toBe(split);
  });
});

describe("joinCover()", () => {
  it("joins nothing into the root of the empty tree", () => {
    expect(Buffer.from(joinCover([])).toString("hex")).toBe(
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
  });
});
