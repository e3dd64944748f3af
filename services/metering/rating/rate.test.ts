import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { createUsage } from "../../../test/usages.ts";
import { rateUsage } from "./rate.ts";

describe("rateUsage()", () => {
  it("rates an ordinary chat to the nano-dollar", () => {
    const rated = rateUsage(createUsage());

    expect(rated.costNanos).toBe(7_500_000n);
    expect(rated.saidNanos).toBe(7_500_000n);
    expect(rated.mismatched).toBe(false);
  });

  it("rounds each line up by itself: a token at 37.5 nano-dollars costs 38", () => {
    const lines = [
      [Meter.INPUT_TOKENS, 1n, 37_500_000n],
      [Meter.OUTPUT_TOKENS, 1n, 37_500_000n],
    ] as const;

    expect(rateUsage(createUsage({ attempts: [{ provider: "p", lines }] })).costNanos).toBe(76n);
  });

  it("is exact where quantity times price is beyond 2^53", () => {
    const lines = [[Meter.INPUT_TOKENS, 999_999_999_999n, 1_000_001n]] as const;

    expect(rateUsage(createUsage({ attempts: [{ provider: "p", lines }] })).costNanos).toBe(1_000_000_999_999n);
  });

  it("keeps both numbers when the router says another, and says that they differ", () => {
    const rated = rateUsage(createUsage({ errorNanos: 1n }));

    expect(rated).toMatchObject({ costNanos: 7_500_000n, saidNanos: 7_500_002n, mismatched: true });
  });

  it("notices two wrong lines that cancel each other out", () => {
    const usage = createUsage();
    usage.attempts[0]!.lines[0]!.costNanos += 1n;
    usage.attempts[0]!.lines[1]!.costNanos -= 1n;

    expect(rateUsage(usage).mismatched).toBe(true);
  });

  it("costs nothing without an attempt", () => {
    expect(rateUsage(createUsage({ attempts: [] }))).toMatchObject({ costNanos: 0n, mismatched: false });
  });

  it.each([
    ["more of a meter than a call can use", [[[10n ** 12n + 1n, 0n]]]],
    ["a cost beyond int64", [[[10n ** 12n, 2n ** 62n]]]],
    ["a cost of more than a million dollars", [[[1_000_001n, 10n ** 15n]]]],
    ["attempts that cost more than a million dollars together", [[[600_000n, 10n ** 15n]], [[400_001n, 10n ** 15n]]]],
  ] as const)("refuses %s", (_, attempts) => {
    const usage = createUsage({
      attempts: attempts.map(() => ({ provider: "p", lines: [[Meter.INPUT_TOKENS, 1n, 1n]] })),
    });
    for (const [index, [[quantity, priceNanosPerMillion]]] of attempts.entries())
      Object.assign(usage.attempts[index]!.lines[0]!, { quantity, priceNanosPerMillion });

    expect(() => rateUsage(usage)).toThrowError(expect.objectContaining({ reason: "ARGUMENT_INVALID" }));
  });

  it("refuses what a router says it costs when that is more than a call can cost", () => {
    expect(() => rateUsage(createUsage({ errorNanos: 10n ** 15n }))).toThrowError(
      expect.objectContaining({ reason: "ARGUMENT_INVALID" }),
    );
  });

  it("is the sum of what each line costs, never less than the exact price and less than a nano-dollar a line more", () => {
    const line = fc.tuple(
      fc.constantFrom(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.OUTPUT_TOKENS),
      fc.bigInt({ min: 0n, max: 10n ** 9n }),
      fc.bigInt({ min: 0n, max: 10n ** 10n }),
    );
    fc.assert(
      fc.property(fc.array(fc.array(line, { maxLength: 5 }), { maxLength: 4 }), (attempts) => {
        const usage = createUsage({ attempts: attempts.map((lines) => ({ provider: "p", lines })) });

        const { costNanos } = rateUsage(usage);

        const lines = attempts.flat();
        const exactMillionths = lines.reduce((sum, [, quantity, price]) => sum + quantity * price, 0n);
        expect(costNanos * 1_000_000n >= exactMillionths).toBe(true);
        expect(costNanos * 1_000_000n < exactMillionths + 1_000_000n * BigInt(lines.length) + 1n).toBe(true);
      }),
    );
  });
});
