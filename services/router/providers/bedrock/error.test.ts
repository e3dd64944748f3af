import { describe, expect, it } from "vitest";
import { readRefusal } from "./error.ts";

const refuse = (status: number, type: string, message: string, headers: Record<string, string> = {}) =>
  readRefusal({
    status,
    headers: { ...(type !== "" && { "x-amzn-errortype": type }), ...headers },
    body: Buffer.from(JSON.stringify({ message })),
    nowMs: 0,
  });

describe("readRefusal()", () => {
  it.each<[number, string, object]>([
    [429, "ThrottlingException", { reason: "PROVIDER_RATE_LIMITED", elsewhere: true }],
    [400, "ThrottlingException:http://internal.amazon.com/coral/", { reason: "PROVIDER_RATE_LIMITED" }],
    [429, "", { reason: "PROVIDER_RATE_LIMITED" }],
    [400, "ServiceQuotaExceededException", { reason: "PROVIDER_FAILED", state: "the provider's quota is used up" }],
    [429, "ModelNotReadyException", { reason: "PROVIDER_FAILED", elsewhere: true }],
    [
      403,
      "AccessDeniedException",
      { reason: "PROVIDER_FAILED", state: "the provider refuses this router's credential" },
    ],
    [400, "UnrecognizedClientException", { state: "the provider refuses this router's credential", elsewhere: true }],
    [400, "ExpiredTokenException", { state: "the provider refuses this router's credential", elsewhere: true }],
    [403, "InvalidSignatureException", { state: "the provider refuses this router's credential", elsewhere: true }],
    [403, "", { state: "the provider refuses this router's credential", elsewhere: true }],
    [404, "ResourceNotFoundException", { state: "the provider lacks the model", elsewhere: true }],
    [408, "ModelTimeoutException", { reason: "PROVIDER_TIMEOUT", elsewhere: true }],
    [424, "ModelErrorException", { reason: "PROVIDER_FAILED", elsewhere: true }],
    [500, "InternalServerException", { reason: "PROVIDER_FAILED", elsewhere: true }],
    [503, "ServiceUnavailableException", { reason: "PROVIDER_FAILED", elsewhere: true }],
    [502, "", { reason: "PROVIDER_FAILED", state: "the provider answered with status 502", elsewhere: true }],
  ])("reads %i %s", (status, type, expected) => {
    expect(refuse(status, type, "secret words of the operator's")).toMatchObject(expected);
    expect(JSON.stringify(refuse(status, type, "secret words of the operator's"))).not.toContain("secret words");
  });

  it("hands on what the caller must mend", () => {
    const failure = refuse(400, "ValidationException:http://x/", "Input is too long for requested model.");

    expect(failure).toEqual({
      reason: "PROVIDER_REFUSED",
      state: "Input is too long for requested model.",
      elsewhere: false,
      said: { message: "Input is too long for requested model.", type: "ValidationException", code: "", param: "" },
    });
  });

  it("finds the type in the body, too", () => {
    const body = Buffer.from(
      '{"__type":"com.amazon.coral.service#UnrecognizedClientException","Message":"The security token is invalid"}',
    );

    expect(readRefusal({ status: 400, headers: {}, body, nowMs: 0 })).toMatchObject({ elsewhere: true });
  });

  it.each([
    "The provided model identifier is invalid.",
    "Invocation of model ID anthropic.claude-x with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
    "This model version has reached the end of its life.",
  ])("tries elsewhere when it is the policy's model that is refused: %s", (message) => {
    expect(refuse(400, "ValidationException", message)).toMatchObject({
      state: "the provider lacks the model",
      elsewhere: true,
    });
  });

  it("says when to come back", () => {
    expect(refuse(429, "ThrottlingException", "slow down", { "retry-after": "3" })).toMatchObject({
      retryAfterMs: 3000,
    });
  });

  it("survives a body that is anything", () => {
    expect(readRefusal({ status: 400, headers: {}, body: Buffer.from("<html>"), nowMs: 0 })).toMatchObject({
      reason: "PROVIDER_REFUSED",
      state: "the provider refuses the request with status 400",
    });
  });
});
