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

  it("is exact beyond 2^53 nano-dollars", () => {
    const lines = [[Meter.INPUT_TOKENS, 9_007_199_254_740_993n, 1_000_000n]] as const;

    expect(rateUsage(createUsage({ attempts: [{ provider: "p", lines }] })).costNanos).toBe(9_007_199_254_740_993n);
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

  it("refuses a cost, and a sum of costs, that does not fit int64", () => {
    const huge = (quantity: bigint) => [[Meter.INPUT_TOKENS, quantity, 2n ** 62n]] as const;
    const usage = createUsage();
    usage.attempts[0]!.lines[0]!.priceNanosPerMillion = 2n ** 63n - 1n;
    usage.attempts[0]!.lines[0]!.quantity = 2n ** 40n;

    expect(() => rateUsage(usage)).toThrowError(expect.objectContaining({ reason: "ARGUMENT_INVALID" }));
    const twice = [1_500_000n, 1_500_000n].map((quantity) => ({ provider: "p", lines: huge(quantity) }));
    expect(() => rateUsage(createUsage({ attempts: twice }))).toThrowError(
      expect.objectContaining({ reason: "ARGUMENT_INVALID" }),
    );
  });

  it("is the sum of what each line costs, never less than the exact price and less than a nano-dollar a line more", () => {
    const line = fc.tuple(
      fc.constantFrom(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.OUTPUT_TOKENS),
      fc.bigInt({ min: 0n, max: 10n ** 9n }),
      fc.bigInt({ min: 0n, max: 10n ** 12n }),
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
