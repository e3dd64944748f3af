import { describe, expect, it } from "vitest";
import { readRefusal, toStatedFailure } from "./error.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const refuse = (status: number, error: object, headers: Record<string, string> = {}) =>
  readRefusal({
    status,
    headers,
    body: Buffer.from(JSON.stringify({ type: "error", error, request_id: "req_1" })),
    nowMs: NOW,
  });

describe("readRefusal()", () => {
  it("gives the caller what is wrong with its request, as the provider wrote it", () => {
    const failure = refuse(400, { type: "invalid_request_error", message: "max_tokens: too large" });

    expect(failure).toMatchObject({ reason: "PROVIDER_REFUSED", elsewhere: false, state: "max_tokens: too large" });
    expect(failure.said).toMatchObject({ type: "invalid_request_error", message: "max_tokens: too large" });
    expect(failure.said?.body?.toString()).toContain('"request_id":"req_1"');
  });

  it("lets clients know of what is not held any more, which they recover from", () => {
    const details = { error_code: "thread_not_found" };

    const failure = refuse(404, { type: "not_found_error", message: "no usable state", details });

    expect(failure).toMatchObject({ reason: "PROVIDER_REFUSED", elsewhere: false, said: { code: "thread_not_found" } });
    expect(failure.said?.body?.toString()).toContain("thread_not_found");
  });

  it.each([
    [401, { type: "authentication_error", message: "invalid x-api-key sk-ant-1" }, "PROVIDER_FAILED"],
    [403, { type: "permission_error", message: "no" }, "PROVIDER_FAILED"],
    [404, { type: "not_found_error", message: "model: x" }, "PROVIDER_FAILED"],
    [402, { type: "billing_error", message: "no" }, "PROVIDER_FAILED"],
    [400, { type: "invalid_request_error", message: "Your credit balance is too low to access" }, "PROVIDER_FAILED"],
    [429, { type: "rate_limit_error", message: "x", details: { error_code: "spend_limit" } }, "PROVIDER_FAILED"],
    [429, { type: "rate_limit_error", message: "slow down" }, "PROVIDER_RATE_LIMITED"],
    [500, { type: "api_error", message: "x" }, "PROVIDER_FAILED"],
    [504, { type: "timeout_error", message: "x" }, "PROVIDER_TIMEOUT"],
    [529, { type: "overloaded_error", message: "Overloaded" }, "PROVIDER_FAILED"],
  ] as const)("tries elsewhere on %i %j, and keeps the words to itself", (status, error, reason) => {
    const failure = refuse(status, error);

    expect(failure).toMatchObject({ reason, elsewhere: true });
    expect(failure.said).toBeUndefined();
    expect(failure.state).not.toContain(error.message);
  });

  it("reads how long to wait", () => {
    expect(refuse(429, {}, { "retry-after": "7" }).retryAfterMs).toBe(7000);
    expect(refuse(529, {}, { "retry-after": "Thu, 01 Jan 2026 00:00:03 GMT" }).retryAfterMs).toBe(3000);
  });

  it("takes any body", () => {
    for (const body of ["", "<html>", "[]", '{"error":"x"}', "null"]) {
      expect(readRefusal({ status: 400, headers: {}, body: Buffer.from(body), nowMs: NOW })).toMatchObject({
        reason: "PROVIDER_REFUSED",
      });
    }
  });
});

describe("toStatedFailure()", () => {
  it.each([
    ["rate_limit_error", "PROVIDER_RATE_LIMITED"],
    ["overloaded_error", "PROVIDER_FAILED"],
    ["timeout_error", "PROVIDER_TIMEOUT"],
    ["api_error", "PROVIDER_FAILED"],
  ])("takes %s within an answer for %s", (type, reason) => {
    expect(toStatedFailure({ type, message: "secret" })).toMatchObject({ reason, elsewhere: true });
  });
});
