import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkLimit } from "./limit.ts";

/** Of our days: sums of fractions of a minute are rounded otherwise than near 1970. */
const NOW_MS = Date.UTC(2026, 0, 1);

/** How many of the calls at these instants pass. */
function passedAt(requestsPerMinute: number, instants: readonly number[]): number[] {
  let theoreticalMs = 0;
  return instants.filter((nowMs) => {
    const verdict = checkLimit(requestsPerMinute, theoreticalMs, nowMs);
    if (verdict.passed) theoreticalMs = verdict.theoreticalMs;
    return verdict.passed;
  });
}

describe("checkLimit()", () => {
  it("lets a silent caller ask a whole minute's calls at once, and not one more", () => {
    for (let rate = 1; rate <= 1_000; rate++) {
      expect(passedAt(rate, new Array(rate + 1).fill(NOW_MS))).toHaveLength(rate);
    }
  });

  it("never lets more pass in any time than a minute's calls and the rate for that time", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 600 }),
        fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 400 }),
        (rate, gaps) => {
          let nowMs = NOW_MS;
          const passed = passedAt(
            rate,
            gaps.map((gap) => (nowMs += gap)),
          );
          for (let from = 0; from < passed.length; from += 7) {
            for (let to = from; to < passed.length; to += 3) {
              const spanMs = passed[to]! - passed[from]!;
              expect(to - from + 1).toBeLessThanOrEqual(rate + Math.floor(((spanMs * rate) / 60_000) * 1.00001));
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("a refused caller who waits as long as it is told passes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 0, max: 60_000 }), (rate, pauseMs) => {
        let theoreticalMs = 0;
        let nowMs = NOW_MS;
        for (let count = 0; count < rate && count < 2_000; count++) {
          const verdict = checkLimit(rate, theoreticalMs, nowMs);
          if (verdict.passed) theoreticalMs = verdict.theoreticalMs;
        }
        nowMs += pauseMs;
        const refused = checkLimit(rate, Math.max(theoreticalMs, nowMs + 60_000), nowMs);
        expect(refused.passed).toBe(false);
        if (refused.passed) return;
        expect(refused.retryAfterMs).toBeGreaterThan(0);
        expect(checkLimit(rate, Math.max(theoreticalMs, nowMs + 60_000), nowMs + refused.retryAfterMs).passed).toBe(
          true,
        );
      }),
    );
  });

  it("a caller who keeps to the rate is never refused", () => {
    for (const rate of [3, 7, 59, 61, 997]) {
      const instants = Array.from({ length: 5_000 }, (_, index) => NOW_MS + (index * 60_000) / rate);
      expect(passedAt(rate, instants)).toHaveLength(5_000);
    }
  });

  it("a clock that was set back by a day refuses for a minute at most", () => {
    expect(checkLimit(60, 86_400_000, 0)).toMatchObject({ passed: false, retryAfterMs: 1_000 });
  });
});
