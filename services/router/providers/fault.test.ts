// What each dialect's refusals say of the target: one table for all, so that a status means the same whoever said it.
import { describe, expect, it } from "vitest";
import { Dialect } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { AnswerFormat } from "./dialect.ts";
import { findFault } from "./fault.ts";
import { findDialect } from "./registry.ts";

const FORMATS: readonly (readonly [name: string, format: AnswerFormat])[] = [
  Dialect.OPENAI,
  Dialect.AZURE_OPENAI,
  Dialect.ANTHROPIC,
  Dialect.GEMINI,
  Dialect.BEDROCK,
].flatMap((id) => {
  const dialect = findDialect(id, 0)!;
  const formats = [
    dialect.typed,
    ...dialect.relayed,
    ...(dialect.embeddings === undefined ? [] : [dialect.embeddings]),
  ];
  return formats.map((format) => [`dialect ${id}, ${format.format}`, format] as const);
});

function findFaultOf(format: AnswerFormat, status: number, headers: Record<string, string> = {}, body: unknown = {}) {
  const { reason, fault } = format.readRefusal({
    status,
    headers,
    body: Buffer.from(JSON.stringify(body)),
    nowMs: 0,
  });
  return findFault(reason, fault);
}

describe.each(FORMATS)("a refusal in %s", (_, format) => {
  it.each<[number, Record<string, string>, string | undefined]>([
    [500, {}, "failed"],
    [502, {}, "failed"],
    [503, {}, "failed"],
    [504, {}, "failed"],
    [408, {}, "failed"],
    [302, {}, "failed"],
    [503, { "retry-after": "3" }, "overloaded"],
    [529, {}, "overloaded"],
    [429, {}, "limited"],
    [429, { "retry-after": "3" }, "limited"],
    [401, {}, "credential"],
    [403, {}, "credential"],
    [404, {}, undefined],
    [400, {}, undefined],
    [413, {}, undefined],
    [422, {}, undefined],
  ])("with status %i and %j says of the target: %s", (status, headers, fault) => {
    expect(findFaultOf(format, status, headers)).toBe(fault);
  });

  it("never takes a rate limit for sickness, whatever its body and headers say", () => {
    for (const body of [null, [], {}, { error: {} }, { error: { message: "server error", type: "server_error" } }]) {
      for (const headers of [{}, { "retry-after": "soon" }, { "retry-after": "999999999" }] as Record<
        string,
        string
      >[]) {
        expect(findFaultOf(format, 429, headers, body)).toBe("limited");
      }
    }
  });
});

describe("what providers say of money, models and callers", () => {
  const format = (id: Dialect) => findDialect(id, 0)!.typed;

  it.each<[string, Dialect, number, object, string | undefined]>([
    [
      "OpenAI's quota (https://platform.openai.com/docs/guides/error-codes)",
      Dialect.OPENAI,
      429,
      { error: { message: "You exceeded your current quota", type: "insufficient_quota", code: "insufficient_quota" } },
      "quota",
    ],
    [
      "a request larger than a minute's limit of OpenAI",
      Dialect.OPENAI,
      429,
      {
        error: {
          message:
            "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 50000.",
          type: "tokens",
          code: "rate_limit_exceeded",
        },
      },
      undefined,
    ],
    ["OpenAI's missing model", Dialect.OPENAI, 404, { error: { code: "model_not_found" } }, "model"],
    ["OpenAI's missing file", Dialect.OPENAI, 404, { error: { message: "No such File object: file-1" } }, undefined],
    ["Azure's missing deployment", Dialect.AZURE_OPENAI, 404, { error: { code: "DeploymentNotFound" } }, "model"],
    [
      "Anthropic's empty account (https://platform.claude.com/docs/en/api/errors)",
      Dialect.ANTHROPIC,
      400,
      { error: { type: "invalid_request_error", message: "Your credit balance is too low to access the API" } },
      "quota",
    ],
    ["Anthropic's bill", Dialect.ANTHROPIC, 402, { error: { type: "billing_error", message: "pay" } }, "quota"],
    [
      "Anthropic's missing model",
      Dialect.ANTHROPIC,
      404,
      { error: { type: "not_found_error", message: "model: claude-x" } },
      "model",
    ],
    [
      "Gemini's bad key (https://google.aip.dev/193)",
      Dialect.GEMINI,
      400,
      { error: { code: 400, message: "API key not valid", status: "INVALID_ARGUMENT" } },
      "credential",
    ],
    [
      "Gemini's missing model",
      Dialect.GEMINI,
      404,
      { error: { code: 404, message: "models/x is not found for API version v1beta", status: "NOT_FOUND" } },
      "model",
    ],
    ["Bedrock's quota", Dialect.BEDROCK, 400, { __type: "ServiceQuotaExceededException" }, "quota"],
    ["Bedrock's missing model", Dialect.BEDROCK, 404, { __type: "ResourceNotFoundException" }, "model"],
    ["Bedrock's throttling", Dialect.BEDROCK, 400, { __type: "ThrottlingException" }, "limited"],
  ])("%s", (_, dialect, status, body, fault) => {
    expect(findFaultOf(format(dialect), status, {}, body)).toBe(fault);
  });
});

describe("findFault()", () => {
  it.each([
    "CALLER_GONE",
    "DEADLINE_EXCEEDED",
    "TIMEOUT",
    "BODY_MEMORY_FULL",
    "DRAINING",
    "ARGUMENT_INVALID",
    "PROVIDER_REFUSED",
    "TARGET_EJECTED",
  ] as const)("finds none in %s, which is not the provider's doing", (reason) => {
    expect(findFault(reason)).toBeUndefined();
  });
});
