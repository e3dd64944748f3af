import { describe, expect, it } from "vitest";
import { REASONS, type Reason } from "../../../shared/errors/reason.ts";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import type { AnswerFailure } from "../call.ts";
import { composeError, composeStreamError } from "./error.ts";

const HEAD = { eventId: "e1" };
const fail = (reason: Reason, rest: Partial<AnswerFailure> = {}): AnswerFailure => ({
  error: new WeirError(reason, "Cannot do it: so it is"),
  ...rest,
});
const write = (failure: AnswerFailure) => {
  const { status, headers, body } = composeError(failure, HEAD);
  return { status, headers, body: JSON.parse(body.toString()) };
};
const refused = (body: string, status = 400): AnswerFailure =>
  fail("PROVIDER_REFUSED", {
    status,
    said: { message: "no such field", type: "invalid_request_error", code: "", param: "", body: Buffer.from(body) },
  });

describe("composeError()", () => {
  it.each([
    ["KEY_UNKNOWN", 401, "authentication_error"],
    ["MODEL_NOT_ALLOWED", 403, "permission_error"],
    ["MODEL_UNKNOWN", 404, "not_found_error"],
    ["BODY_TOO_LARGE", 413, "request_too_large"],
    ["ARGUMENT_INVALID", 400, "invalid_request_error"],
    ["RATE_LIMITED", 429, "rate_limit_error"],
    ["PROVIDER_RATE_LIMITED", 429, "rate_limit_error"],
    ["PROVIDER_FAILED", 502, "api_error"],
    ["PROVIDER_TIMEOUT", 504, "timeout_error"],
    ["INTERNAL", 500, "api_error"],
    ["BODY_MEMORY_FULL", 529, "overloaded_error"],
    ["SPOOL_FULL", 529, "overloaded_error"],
    ["CREDENTIAL_MISSING", 500, "api_error"],
    ["NOT_SERVED", 501, "api_error"],
  ] as const)("says %s with status %i and type %s", (reason, status, type) => {
    const written = write(fail(reason));

    expect(written.status).toBe(status);
    expect(written.body).toEqual({
      type: "error",
      error: { type, message: "Cannot do it: so it is", details: { error_code: reason.toLowerCase() } },
      request_id: "e1",
    });
  });

  it("tells clients of every reason whether to try again", () => {
    for (const reason of Object.keys(REASONS) as Reason[]) {
      expect(write(fail(reason)).headers["x-should-retry"]).toBe(REASONS[reason].retry ? undefined : "false");
    }
  });

  it("passes the body of a provider of this format on, byte for byte", () => {
    const body =
      '{"type":"error", "error":{"type":"invalid_request_error","message":"x: Extra inputs"},"request_id":"req_9"}';

    const written = composeError(refused(body, 413), HEAD);

    expect(written.body.toString()).toBe(body);
    expect(written.status).toBe(413);
  });

  it("takes secrets out of such a body, and nothing else", () => {
    const body = '{"type":"error","error":{"type":"x","message":"bad key sk-ant-api03-abcdefgh"}}';

    expect(composeError(refused(body), HEAD).body.toString()).toBe(
      '{"type":"error","error":{"type":"x","message":"bad key [secret]"}}',
    );
  });

  it("writes what a provider of another format said in its own form", () => {
    const { body } = write(refused('{"error":{"message":"no such field"}}'));

    expect(body).toMatchObject({ type: "error", error: { type: "invalid_request_error", message: "no such field" } });
  });

  it.each([
    [{ field: 'extras["thread"]' }, "thread_unsupported_request"],
    [{ field: "thread", error_code: "thread_not_found" }, "thread_not_found"],
  ])("says %j with the code %s, from which clients recover", (facts, code) => {
    const error = new WeirError("ARGUMENT_INVALID", "Cannot do it: so it is", { facts });

    expect(write({ error }).body.error.details).toEqual({ error_code: code });
  });

  it("says that a provider is overloaded as it said it", () => {
    expect(write(fail("PROVIDER_FAILED", { status: 529 }))).toMatchObject({
      status: 529,
      body: { error: { type: "overloaded_error" } },
    });
  });
});

describe("composeStreamError()", () => {
  it("is an event that clients raise", () => {
    const text = composeStreamError(fail("STREAM_CUT"), HEAD).toString();

    expect(text).toMatch(/^event: error\ndata: \{"type":"error","error":\{"type":"api_error",.*\}\n\n$/);
  });
});
