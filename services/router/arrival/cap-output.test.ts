import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChatInputSchema } from "../../../gen/weir/router/v1/chat_pb.ts";
import type { RelayedRequest } from "../providers/dialect.ts";
import type { ChatCall } from "./call.ts";
import { capOutput } from "./cap-output.ts";
import { scanRequest as scanChatCompletions } from "./chat-completions/scan.ts";
import { scanRequest as scanMessages } from "./messages/scan.ts";
import { scanRequest as scanResponses } from "./responses/scan.ts";

const scans = { "chat-completions": scanChatCompletions, messages: scanMessages, responses: scanResponses };

/** The call that a body makes, as far as it matters here. */
function callOf(format: keyof typeof scans, body: string): ChatCall {
  const { request, maxOutputTokens } = scans[format](Buffer.from(body));
  return { request, maxOutputTokens } as ChatCall;
}

const MESSAGES = '"messages":[{"role":"user","content":"hi"}]';

function cap(format: keyof typeof scans, members: string, most = 100n) {
  const asked = format === "responses" ? '"input":"hi"' : MESSAGES;
  const call = callOf(format, `{"model":"small",${members}${asked}}`);
  const capped = capOutput(call, most);
  const request = capped.request as RelayedRequest;
  const model = request.bytes.toString("utf8", request.modelStart, request.modelEnd);
  expect(model).toBe('"small"');
  const { model: _, messages, input, ...rest } = JSON.parse(request.bytes.toString()) as Record<string, unknown>;
  expect(messages ?? input).toBeDefined();
  return { rest, most: capped.maxOutputTokens, isSame: capped === call, typed: request.toInput() };
}

describe("capOutput()", () => {
  it.each([
    ["chat-completions", "", { max_completion_tokens: 100 }],
    ["chat-completions", '"max_tokens":4000,', { max_tokens: 100 }],
    ["chat-completions", '"max_completion_tokens": 4000 ,', { max_completion_tokens: 100 }],
    [
      "chat-completions",
      '"max_tokens":4000,"max_completion_tokens":50,',
      { max_tokens: 100, max_completion_tokens: 50 },
    ],
    [
      "chat-completions",
      '"max_tokens":1e6,"max_completion_tokens":null,',
      { max_tokens: 100, max_completion_tokens: null },
    ],
    ["chat-completions", '"max_tokens":null,', { max_tokens: 100 }],
    [
      "chat-completions",
      '"max_tokens":null,"max_completion_tokens":null,',
      { max_tokens: null, max_completion_tokens: 100 },
    ],
    ["messages", '"max_tokens":4000,', { max_tokens: 100 }],
    ["messages", "", { max_tokens: 100 }],
    ["responses", '"max_output_tokens":101,', { max_output_tokens: 100 }],
    ["responses", "", { max_output_tokens: 100 }],
  ] as const)("lowers what a request of %s with %s asks for, or says it", (format, members, expected) => {
    const { rest, most, typed } = cap(format, members);

    expect(rest).toEqual(expected);
    expect(most).toBe(100n);
    expect(typed).toMatchObject({
      maxOutputTokens:
        format === "chat-completions" && "max_completion_tokens" in expected
          ? BigInt(expected.max_completion_tokens ?? 100)
          : 100n,
    });
  });

  it("writes a cap that is longer than the number that stood there, and finds all again", () => {
    expect(cap("chat-completions", '"max_tokens":9e6,"stream":true,', 123_456n).rest).toEqual({
      max_tokens: 123_456,
      stream: true,
    });
  });

  it.each([
    ["chat-completions", '"max_tokens":100,'],
    ["messages", '"max_tokens":0,'],
    ["responses", '"max_output_tokens":16,'],
  ] as const)("leaves a request of %s alone that asks for no more: %s", (format, members) => {
    expect(cap(format, members).isSame).toBe(true);
  });

  it("caps typed messages without changing the caller's", () => {
    const input = create(ChatInputSchema, { model: "small", maxOutputTokens: 4_000n });
    const call = { request: { format: undefined, input }, maxOutputTokens: 4_000n } as unknown as ChatCall;

    expect(capOutput(call, 100n).request).toMatchObject({ input: { model: "small", maxOutputTokens: 100n } });
    expect(input.maxOutputTokens).toBe(4_000n);
  });
});
