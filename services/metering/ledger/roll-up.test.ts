import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { createUsage, NOON_MS } from "../../../test/usages.ts";
import { rateUsage } from "../rating/rate.ts";
import { rollUp } from "./roll-up.ts";

const DAY_MS = 86_400_000;

describe("rollUp()", () => {
  it("counts a chat that fell back once as a call, with its last attempt, and once for each provider as an attempt", () => {
    const line = [Meter.INPUT_TOKENS, 10n, 1_000_000n] as const;
    const usage = createUsage({
      attempts: [
        { provider: "first", lines: [] },
        { provider: "second", lines: [line] },
      ],
    });

    const sums = rollUp([rateUsage(usage)]);

    expect(
      sums.map(({ provider, meter, attempts, calls, costNanos }) => [provider, meter, attempts, calls, costNanos]),
    ).toEqual([
      ["first", 0, 1n, 0n, 0n],
      ["second", 0, 1n, 1n, 0n],
      ["second", Meter.INPUT_TOKENS, 0n, 0n, 10n],
    ]);
  });

  it("counts a call that called no provider alone", () => {
    expect(rollUp([rateUsage(createUsage({ attempts: [] }))])).toMatchObject([
      { provider: "", attempts: 0n, calls: 1n },
    ]);
  });

  it("puts a chat over midnight (UTC) on the day on which it ended", () => {
    const midnight = NOON_MS + DAY_MS / 2;
    const days = [midnight - 1, midnight].map((endedMs) => rollUp([rateUsage(createUsage({ endedMs }))])[0]?.day);

    expect(days).toEqual(["2026-06-15", "2026-06-16"]);
  });

  it("comes out the same in any order of the usages, each key once and in order", () => {
    const options = fc.record({
      team: fc.constantFrom("a", "b"),
      model: fc.constantFrom("x", "y"),
      endedMs: fc.constantFrom(NOON_MS, NOON_MS + DAY_MS),
    });
    fc.assert(
      fc.property(fc.array(options, { minLength: 1, maxLength: 12 }), fc.integer(), (all, turn) => {
        const usages = all.map((one) => rateUsage(createUsage(one)));
        const shift = Math.abs(turn) % usages.length;

        const sums = rollUp(usages);

        expect(rollUp([...usages.slice(shift), ...usages.slice(0, shift)].reverse())).toEqual(sums);
        expect(sums.reduce((sum, { calls }) => sum + calls, 0n)).toBe(BigInt(usages.length));
        expect(sums.reduce((sum, { costNanos }) => sum + costNanos, 0n)).toBe(7_500_000n * BigInt(usages.length));
        const keys = sums.map(({ attempts, calls, quantity, costNanos, ...key }) => JSON.stringify(key));
        expect(new Set(keys).size).toBe(keys.length);
      }),
    );
  });
});
