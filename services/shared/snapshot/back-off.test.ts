import { describe, expect, it } from "vitest";
import { BACK_OFF_LIMIT_MS, backOffMs } from "./back-off.ts";

const draw = (failures: number): number[] => Array.from({ length: 1_000 }, () => backOffMs(failures));

describe("backOffMs()", () => {
  it.each([
    [1, 400],
    [3, 1_600],
    [6, BACK_OFF_LIMIT_MS],
    [1_000, BACK_OFF_LIMIT_MS],
  ])("C7: spreads those who have failed %i times over all of %i ms, from at once", (failures, mostMs) => {
    const waits = draw(failures);

    expect(Math.max(...waits)).toBeLessThanOrEqual(mostMs);
    for (const quarter of [0, 1, 2, 3]) {
      const share = waits.filter((ms) => ms >= (quarter * mostMs) / 4 && ms <= ((quarter + 1) * mostMs) / 4).length;
      // A quarter of them on average; of a thousand draws fewer than a tenth never.
      expect(share).toBeGreaterThan(100);
    }
  });
});
