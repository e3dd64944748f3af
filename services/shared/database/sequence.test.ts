import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EMPTY_SEQUENCE, takeIn, watermarkOf } from "./sequence.ts";

describe("takeIn()", () => {
  it("has a watermark of 0 until 1 has come", () => {
    const sequence = takeIn(EMPTY_SEQUENCE, [2n, 3n]);

    expect(watermarkOf(sequence)).toBe(0n);
    expect(watermarkOf(takeIn(sequence, [1n]))).toBe(3n);
  });

  it("keeps a jump by billions as one gap", () => {
    const sequence = takeIn(EMPTY_SEQUENCE, [1n, 2n ** 62n]);

    expect(sequence.gaps).toEqual([{ first: 2n, last: 2n ** 62n - 1n }]);
    expect(watermarkOf(sequence)).toBe(1n);
  });

  it("ignores numbers below 1", () => {
    expect(takeIn(EMPTY_SEQUENCE, [0n, -5n])).toEqual(EMPTY_SEQUENCE);
  });

  it("says exactly what is missing, for any order, any repeats and any split into batches", () => {
    const batches = fc.array(fc.array(fc.bigInt({ min: 1n, max: 40n }), { maxLength: 12 }), { maxLength: 8 });
    fc.assert(
      fc.property(batches, (history) => {
        const sequence = history.reduce(takeIn, EMPTY_SEQUENCE);

        const taken = new Set(history.flat());
        const highest = [...taken].reduce((a, b) => (a > b ? a : b), 0n);
        const missing: bigint[] = [];
        for (let number = 1n; number <= highest; number++) if (!taken.has(number)) missing.push(number);
        const told: bigint[] = [];
        for (const gap of sequence.gaps) for (let number = gap.first; number <= gap.last; number++) told.push(number);
        expect(told).toEqual(missing);
        expect(sequence.highest).toBe(highest);
        expect(watermarkOf(sequence)).toBe((missing[0] ?? highest + 1n) - 1n);
      }),
    );
  });

  it("never lowers the watermark", () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: 1n, max: 30n })), (numbers) => {
        let sequence = EMPTY_SEQUENCE;
        for (const number of numbers) {
          const next = takeIn(sequence, [number]);
          expect(watermarkOf(next) >= watermarkOf(sequence)).toBe(true);
          sequence = next;
        }
      }),
    );
  });
});
