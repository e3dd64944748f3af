import { describe, expect, it } from "vitest";
import { readRefusal } from "./error.ts";

const NOW = Date.UTC(2026, 0, 1);
const read = (status: number, error: unknown = { message: "words" }, headers: Record<string, string> = {}) =>
  readRefusal({ status, headers, body: Buffer.from(JSON.stringify({ error })), nowMs: NOW });

describe("readRefusal()", () => {
  it.each([
    [500, "PROVIDER_FAILED", true],
    [502, "PROVIDER_FAILED", true],
    [529, "PROVIDER_FAILED", true],
    [302, "PROVIDER_FAILED", true],
    [401, "PROVIDER_FAILED", true],
    [403, "PROVIDER_FAILED", true],
    [404, "PROVIDER_FAILED", true],
    [408, "PROVIDER_TIMEOUT", true],
    [429, "PROVIDER_RATE_LIMITED", true],
    [400, "PROVIDER_REFUSED", false],
    [413, "PROVIDER_REFUSED", false],
    [422, "PROVIDER_REFUSED", false],
  ])("takes status %i for %s, another target to be tried: %s", (status, reason, elsewhere) => {
    expect(read(status)).toMatchObject({ reason, elsewhere });
  });

  it("tells the caller what the provider says of its request, and of nothing else", () => {
    const said = {
      message: "too long",
      type: "invalid_request_error",
      code: "context_length_exceeded",
      param: "messages",
    };

    expect(read(400, said).said).toEqual({ ...said, body: Buffer.from(JSON.stringify({ error: said })) });
    for (const status of [401, 403, 404, 429, 500])
      expect(JSON.stringify(read(status, said))).not.toContain("too long");
  });

  it("tells a quota that is used up from a rate", () => {
    expect(read(429, { code: "insufficient_quota" }, { "retry-after": "5" })).toEqual({
      reason: "PROVIDER_FAILED",
      state: "the provider's quota is used up",
      elsewhere: true,
      fault: "quota",
    });
  });

  it.each([
    [{ "retry-after": "7" }, 7_000],
    [{ "retry-after": "1.5" }, 1_500],
    [{ "retry-after-ms": "250", "retry-after": "7" }, 250],
    [{ "retry-after-ms": "", "retry-after": "7" }, 7_000],
    [{ "retry-after": "-5" }, undefined],
    [{ "retry-after": "1.5.2" }, undefined],
    [{ "retry-after": new Date(NOW + 9_000).toUTCString() }, 9_000],
    [{ "retry-after": new Date(NOW - 9_000).toUTCString() }, 0],
    [{ "retry-after": "1e9" }, undefined],
    [{ "retry-after": "soon" }, undefined],
    [{ "retry-after": "999999999" }, 3_600_000],
    [{}, undefined],
  ])("reads the time to wait of %j as %s ms", (headers, expected) => {
    expect(read(429, {}, headers).retryAfterMs).toBe(expected);
  });

  it.each(["", "<html>", "null", "[]", '{"error":"text"}', '{"error":{"message":{"a":1},"code":5}}'])(
    "makes do with the body %j",
    (body) => {
      const failure = readRefusal({ status: 400, headers: {}, body: Buffer.from(body), nowMs: NOW });

      expect(failure.reason).toBe("PROVIDER_REFUSED");
      expect(typeof failure.state).toBe("string");
    },
  );
});
