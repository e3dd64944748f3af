import { describe, expect, it } from "vitest";
import { Meter, OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import { sumCostNanos, toAttempt } from "./attempts.ts";
import { sampleAttempt, sampleCall, sampleTarget } from "./calls.fixture.ts";

const unknown = { usage: undefined as never };

describe("attempts", () => {
  it("each meter is one line, priced by the snapshot and rounded up", () => {
    const usage = {
      source: UsageSource.PROVIDER,
      quantities: new Map([
        [Meter.INPUT_TOKENS, 100],
        [Meter.CACHED_INPUT_TOKENS, 3],
        [Meter.OUTPUT_TOKENS, 20],
      ]),
    };
    const attempt = toAttempt(sampleCall(), sampleAttempt({ usage }));
    expect(attempt.source).toBe(UsageSource.PROVIDER);
    expect(attempt.lines.map(({ meter, quantity, costNanos }) => [meter, quantity, costNanos])).toEqual([
      [Meter.INPUT_TOKENS, 100n, 250_000n],
      [Meter.CACHED_INPUT_TOKENS, 3n, 750n],
      [Meter.OUTPUT_TOKENS, 20n, 200_000n],
    ]);
    expect(sumCostNanos([attempt, attempt])).toBe(901_500n);
  });

  it("after first content nobody's silence makes it free: the bound is billed at the dearest meters", () => {
    const attempt = toAttempt(sampleCall(), sampleAttempt({ ...unknown, outcome: OutcomeKind.CUT }));
    expect(attempt.source).toBe(UsageSource.BOUNDED);
    expect(attempt.lines.map(({ meter, quantity }) => [meter, quantity])).toEqual([
      [Meter.CACHE_WRITE_TOKENS, 464n],
      [Meter.OUTPUT_TOKENS, 1_000n],
    ]);
  });

  it("a caller who leaves after first content is billed the bound, and one who leaves before it nothing", () => {
    const left = sampleAttempt({ ...unknown, outcome: OutcomeKind.CANCELLED });
    const { firstContentAtMs: _, ...early } = left;
    expect(toAttempt(sampleCall(), left).source).toBe(UsageSource.BOUNDED);
    expect(toAttempt(sampleCall(), early).lines).toEqual([]);
  });

  it("a cap in the request lowers the bound, more answers raise it", () => {
    const cut = sampleAttempt({ ...unknown, outcome: OutcomeKind.CUT });
    const output = (changes: object) => toAttempt(sampleCall(changes), cut).lines.at(-1)?.quantity;
    expect(output({ maxOutputTokens: 50n })).toBe(50n);
    expect(output({ maxOutputTokens: 5_000n })).toBe(1_000n);
    expect(output({ answers: 3 })).toBe(3_000n);
  });

  it("a provider that was not reached, or failed before any content, is paid nothing", () => {
    const { firstContentAtMs: _, usage: __, ...bare } = sampleAttempt({ outcome: OutcomeKind.FAILED });
    for (const providerStatus of [0, 200, 401, 429, 500]) {
      const attempt = toAttempt(sampleCall(), { ...bare, providerStatus, reason: "PROVIDER_FAILED" });
      expect(attempt).toMatchObject({ source: UsageSource.UNSPECIFIED, lines: [], reason: "PROVIDER_FAILED" });
    }
  });

  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, -5n])(
    "a quantity of %s counts as none",
    (quantity) => {
      const usage = { source: UsageSource.PROVIDER, quantities: new Map([[Meter.INPUT_TOKENS, quantity]]) };
      expect(toAttempt(sampleCall(), sampleAttempt({ usage })).lines).toEqual([]);
    },
  );

  it("a meter without a price costs as the plain tokens of its side", () => {
    const target = {
      ...sampleTarget(),
      prices: sampleTarget().prices.slice(0, 1).concat(sampleTarget().prices.slice(3, 4)),
    };
    const usage = {
      source: UsageSource.PROVIDER,
      quantities: new Map([
        [Meter.CACHE_WRITE_TOKENS, 10],
        [Meter.REASONING_TOKENS, 10],
      ]),
    };
    expect(toAttempt(sampleCall(), sampleAttempt({ target, usage })).lines.map((line) => line.costNanos)).toEqual([
      25_000n,
      100_000n,
    ]);
  });
});
