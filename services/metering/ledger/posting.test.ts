import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { createUsage } from "../../../test/usages.ts";
import { rateUsage } from "../rating/rate.ts";
import { postUsage } from "./posting.ts";

const tokens = (provider: string, quantity: bigint, price = 1_000_000n) => ({
  provider,
  lines: [[Meter.INPUT_TOKENS, quantity, price]] as const,
});

describe("postUsage()", () => {
  it("charges the tenant with the whole and owes each provider its part", () => {
    const usage = createUsage({
      attempts: [tokens("openai-eu", 30n), tokens("mistral", 5n), tokens("openai-eu", 10n)],
    });

    const posting = postUsage(rateUsage(usage));

    expect(posting).toEqual({
      postingId: usage.eventId,
      eventId: usage.eventId,
      organisation: "acme",
      entries: [
        { account: "spend/acme/search/assistant/production", amountNanos: 45n },
        { account: "provider/openai-eu", amountNanos: -40n },
        { account: "provider/mistral", amountNanos: -5n },
      ],
    });
  });

  it("writes nothing for a usage that costs nothing, and no side for a provider that is owed nothing", () => {
    expect(postUsage(rateUsage(createUsage({ attempts: [] })))).toBeUndefined();
    expect(postUsage(rateUsage(createUsage({ attempts: [tokens("free", 10n, 0n)] })))).toBeUndefined();
    const posting = postUsage(rateUsage(createUsage({ attempts: [tokens("free", 10n, 0n), tokens("paid", 1n)] })));
    expect(posting?.entries.map(({ account }) => account)).toEqual([
      "spend/acme/search/assistant/production",
      "provider/paid",
    ]);
  });

  it("adds up to zero, whatever was called and whatever it cost", () => {
    const attempt = fc.record({
      provider: fc.constantFrom("a", "b", "c"),
      lines: fc.array(
        fc.tuple(
          fc.constantFrom(Meter.INPUT_TOKENS, Meter.OUTPUT_TOKENS),
          fc.bigInt({ min: 0n, max: 10n ** 10n }),
          fc.bigInt({ min: 0n, max: 10n ** 9n }),
        ),
        { maxLength: 4 },
      ),
    });
    fc.assert(
      fc.property(fc.array(attempt, { maxLength: 6 }), (attempts) => {
        const rated = rateUsage(createUsage({ attempts }));

        const posting = postUsage(rated);

        if (posting === undefined) {
          expect(rated.costNanos).toBe(0n);
          return;
        }
        expect(posting.entries.reduce((total, { amountNanos }) => total + amountNanos, 0n)).toBe(0n);
        expect(posting.entries.every(({ amountNanos }) => amountNanos !== 0n)).toBe(true);
        expect(posting.entries[0]?.amountNanos).toBe(rated.costNanos);
      }),
    );
  });
});
