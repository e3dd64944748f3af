import { describe, expect, it } from "vitest";
import { readRefusal, toStatedFailure } from "./error.ts";

const refuse = (status: number, error: unknown, headers = {}) =>
  readRefusal({ status, headers, body: Buffer.from(JSON.stringify(error)), nowMs: 0 });
const detail = (name: string, fields: object) => ({ "@type": `type.googleapis.com/google.rpc.${name}`, ...fields });

describe("readRefusal() in the Gemini dialect", () => {
  it("takes the wait of a rate limit from its RetryInfo", () => {
    const details = [detail("QuotaFailure", {}), detail("RetryInfo", { retryDelay: "34.0741s" })];

    const failure = refuse(429, { error: { code: 429, message: "Quota", status: "RESOURCE_EXHAUSTED", details } });

    expect(failure).toMatchObject({ reason: "PROVIDER_RATE_LIMITED", elsewhere: true, retryAfterMs: 34_075 });
  });

  it("takes the wait of a rate limit from its header when there is no RetryInfo", () => {
    expect(refuse(429, {}, { "retry-after": "7" }).retryAfterMs).toBe(7000);
    expect(refuse(429, {}, { "retry-after": "Thu, 01 Jan 1970 00:00:03 GMT" }).retryAfterMs).toBe(3000);
    expect(refuse(429, {})).not.toHaveProperty("retryAfterMs");
  });

  it("tells the caller what is wrong with its request, and tries nobody else", () => {
    const details = [detail("BadRequest", { fieldViolations: [{ field: "contents[0]", description: "bad" }] })];

    const failure = refuse(400, { error: { code: 400, message: "Bad contents", status: "INVALID_ARGUMENT", details } });

    expect(failure).toEqual({
      reason: "PROVIDER_REFUSED",
      state: "Bad contents",
      elsewhere: false,
      said: { message: "Bad contents", type: "invalid_request_error", code: "INVALID_ARGUMENT", param: "contents[0]" },
    });
  });

  it("keeps what is about the operator's key and account from the caller, and tries elsewhere", () => {
    const key = { code: 400, message: "API key not valid: AIza", status: "INVALID_ARGUMENT" };
    const place = { code: 400, message: "User location is not supported", status: "FAILED_PRECONDITION" };

    for (const failure of [
      refuse(400, { error: { ...key, details: [detail("ErrorInfo", { reason: "API_KEY_INVALID" })] } }),
      refuse(400, [{ error: key }]),
      refuse(400, { error: place }),
      refuse(403, { error: { message: "project 1234", status: "PERMISSION_DENIED" } }),
      refuse(404, { error: { message: "models/x", status: "NOT_FOUND" } }),
    ]) {
      expect(failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
      expect(JSON.stringify(failure)).not.toMatch(/AIza|1234|location/);
    }
  });

  it.each([
    [500, "PROVIDER_FAILED"],
    [503, "PROVIDER_FAILED"],
    [504, "PROVIDER_TIMEOUT"],
    [302, "PROVIDER_FAILED"],
  ])("tries elsewhere after status %i", (status, reason) => {
    expect(refuse(status, "<html>")).toMatchObject({ reason, elsewhere: true });
  });

  it("survives any body", () => {
    for (const body of ["", "null", "[]", '{"error":7}', '{"error":{"details":[null,1,{"@type":3}]}}', "\u0000"]) {
      expect(readRefusal({ status: 400, headers: {}, body: Buffer.from(body), nowMs: 0 }).reason).toBe(
        "PROVIDER_REFUSED",
      );
    }
  });
});

describe("toStatedFailure() in the Gemini dialect", () => {
  it("tells a rate limit and a timeout from other errors", () => {
    const details = [detail("RetryInfo", { retryDelay: "2s" })];

    expect(toStatedFailure({ code: 429, details })).toMatchObject({
      reason: "PROVIDER_RATE_LIMITED",
      retryAfterMs: 2000,
    });
    expect(toStatedFailure({ status: "DEADLINE_EXCEEDED" }).reason).toBe("PROVIDER_TIMEOUT");
    expect(toStatedFailure({ code: 500, message: "secret" })).toEqual({
      reason: "PROVIDER_FAILED",
      state: "the provider reported an error",
      elsewhere: true,
    });
  });
});
