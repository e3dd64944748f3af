import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { costNanos, findCostNanos, formatDollars, MAX_NANOS, PRICE_UNIT, parseDollars } from "./money.ts";

const refused = expect.objectContaining({ reason: "ARGUMENT_INVALID" });
const amount = fc.bigInt(0n, MAX_NANOS);

describe("costNanos()", () => {
  it.each([
    [1_000_000n, 2_500_000_000n, 2_500_000_000n],
    [1n, 37_500_000n, 38n], // 0.0375 dollars a million is 37.5 nano-dollars a token
    [2n, 37_500_000n, 75n],
    [1n, 1n, 1n],
    [0n, 2_500_000_000n, 0n],
    [7n, 0n, 0n],
  ])("%s units at %s nano-dollars a million cost %s", (quantity, price, cost) => {
    expect(costNanos(quantity, price)).toBe(cost);
  });

  it("is never below the exact cost and less than one nano-dollar above it", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 9n), fc.bigInt(0n, 10n ** 15n), (quantity, price) => {
        const excess = costNanos(quantity, price) * PRICE_UNIT - quantity * price;
        expect(excess >= 0n && excess < PRICE_UNIT).toBe(true);
      }),
    );
  });

  it("refuses negative numbers and what does not fit int64", () => {
    expect(() => costNanos(-1n, 1n)).toThrow(refused);
    expect(() => costNanos(1n, -1n)).toThrow(refused);
    expect(() => costNanos(MAX_NANOS, 1_000_001n)).toThrow(refused);
    expect(costNanos(MAX_NANOS, PRICE_UNIT)).toBe(MAX_NANOS);
  });
});

describe("findCostNanos()", () => {
  // Products on both sides of 2^53, and quotients close to a whole number, where floating point would go wrong.
  const near = fc
    .tuple(fc.integer({ min: 1, max: 2 ** 33 }), fc.integer({ min: -2, max: 2 }))
    .map(([whole, off]) => whole * 1_000_000 + off);

  it.each([
    ["any two numbers", fc.tuple(fc.nat(2 ** 31 - 1), fc.nat(2 ** 31 - 1))],
    ["large numbers", fc.tuple(fc.maxSafeNat(), fc.nat(100))],
    ["products near a whole cost", fc.tuple(near, fc.constant(1))],
    ["prices near a whole cost", fc.tuple(fc.integer({ min: 1, max: 1_000 }), near)],
  ])("is costNanos() wherever it answers: %s", (_, pair) => {
    fc.assert(
      fc.property(pair, ([quantity, price]) => {
        const cost = findCostNanos(quantity, price);
        if (cost === undefined) expect(quantity * price).toBeGreaterThanOrEqual(2 ** 53);
        else expect(BigInt(cost)).toBe(costNanos(BigInt(quantity), BigInt(price)));
      }),
      { numRuns: 2_000 },
    );
  });

  it("answers for what bills are like, and not for what a double cannot hold", () => {
    expect(findCostNanos(4_503, 2_000_000_000_000)).toBe(9_006_000_000);
    expect(findCostNanos(2 ** 53 - 1, 1)).toBe(9_007_199_255);
    expect(findCostNanos(2 ** 53, 1)).toBeUndefined();
    expect(findCostNanos(1, 2 ** 53)).toBeUndefined();
    expect(findCostNanos(-1, -1)).toBeUndefined();
    expect(findCostNanos(1.5, 2)).toBeUndefined();
    expect(findCostNanos(Number.NaN, 2)).toBeUndefined();
  });
});

describe("parseDollars()", () => {
  it("reads what formatDollars() writes, exactly", () => {
    fc.assert(
      fc.property(amount, (nanos) => {
        expect(parseDollars(formatDollars(nanos))).toBe(nanos);
      }),
    );
  });

  it.each([
    ["2.50", 2_500_000_000n],
    ["0", 0n],
    ["0.000000001", 1n],
    ["0.0375", 37_500_000n],
    ["9223372036.854775807", MAX_NANOS],
  ])("%s is read", (text, nanos) => {
    expect(parseDollars(text)).toBe(nanos);
  });

  it.each([
    "",
    " 1",
    "1 ",
    "1\n",
    ".5",
    "1.",
    "01",
    "-1",
    "+1",
    "1e3",
    "0x1",
    "1,5",
    "1_000",
    "$1",
    "1.0000000001",
    "１",
    "NaN",
    "9223372036.854775808",
    "9".repeat(30),
  ])("%j is refused", (text) => {
    expect(() => parseDollars(text)).toThrow(refused);
  });
});

describe("parseDollars() of a megabyte", () => {
  it("is refused at once", () => {
    expect(() => parseDollars("1".repeat(1_000_000))).toThrow(refused);
  });
});

describe("formatDollars()", () => {
  it.each([
    [0n, "0.00"],
    [2_500_000_000n, "2.50"],
    [37_500n, "0.0000375"],
    [-1_000_000_000n, "-1.00"],
    [-1n, "-0.000000001"],
  ])("%s is written %s", (nanos, text) => {
    expect(formatDollars(nanos)).toBe(text);
  });
});
