import { create } from "@bufbuild/protobuf";
import { TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { OutcomeKind } from "../../../gen/weir/type/v1/usage_pb.ts";
import { createUsage, NOON_MS } from "../../../test/usages.ts";
import { checkUsage, MAX_AHEAD_MS } from "./check-usage.ts";

describe("checkUsage()", () => {
  it("lets an ordinary chat through", () => {
    expect(checkUsage(createUsage(), "eu", NOON_MS)).toBeUndefined();
  });

  it("lets a late one through, however late", () => {
    expect(checkUsage(createUsage(), "eu", NOON_MS + 400 * 86_400_000)).toBeUndefined();
  });

  it("lets clocks differ by ten minutes, not by more", () => {
    expect(checkUsage(createUsage({ endedMs: NOON_MS + MAX_AHEAD_MS }), "eu", NOON_MS)).toBeUndefined();
    const ahead = createUsage({ endedMs: NOON_MS + MAX_AHEAD_MS + 1_000 });
    expect(checkUsage(ahead, "eu", NOON_MS)?.kind).toBe("TIME");
  });

  it("refuses a clock that was never set", () => {
    const usage = createUsage();
    usage.endedAt = timestampFromMs(0);

    expect(checkUsage(usage, "eu", NOON_MS)?.kind).toBe("TIME");
  });

  it.each([0n, -(2n ** 62n), 2n ** 62n])(
    "refuses a beginning at second %s, which the ledger cannot hold",
    (seconds) => {
      const usage = createUsage();
      usage.startedAt = create(TimestampSchema, { seconds });

      expect(checkUsage(usage, "eu", NOON_MS)?.kind).toBe("TIME");
    },
  );

  it("refuses a producer of another region", () => {
    expect(checkUsage(createUsage({ region: "us" }), "eu", NOON_MS)?.kind).toBe("REGION");
  });

  it.each<[string, Parameters<typeof createUsage>[0]]>([
    ["an id that is no UUID", { eventId: "nonsense" }],
    ["an id that is no UUIDv7", { eventId: "6b1d2f6e-8c0b-4b52-9f55-0d8a3a6f0a11" }],
    ["an id in upper case", { eventId: "0190A5D0-0000-7000-8000-000000000000" }],
    ["no organisation", { organisation: "" }],
    ["no seq", { seq: 0n }],
    ["an outcome that is none", { attempts: [{ provider: "p", lines: [] }], outcome: OutcomeKind.UNSPECIFIED }],
    ["a text with NUL", { endUser: "a\0b" }],
    ["a model with NUL", { model: "a\0b" }],
  ])("refuses %s", (_, options) => {
    expect(checkUsage(createUsage(options), "eu", NOON_MS)?.kind).toBe("INVALID");
  });
});
