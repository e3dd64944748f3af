import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { UsageSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { messages } from "../../arrival/messages/messages.ts";
import { readInput } from "../../arrival/messages/read-input.ts";
import { ConversePieceReader } from "./pieces.ts";
import { FRAMES } from "./stream.fixture.ts";
import { ConverseStreamReader } from "./stream.ts";
import { composeTyped } from "./typed-request.ts";

// Claude is asked in both formats, and its signatures hold in both: what a caller of Anthropic's was given must come back as it was.

it("a caller of Anthropic's format gets Claude's signatures byte for byte", () => {
  const reader = new ConverseStreamReader();
  const pieces = new ConversePieceReader();
  const writer = messages.createStreamWriter({
    eventId: "e",
    model: "small",
    createdAtS: 1,
    wantsUsage: true,
    inputTokens: 7,
  });
  const usage = create(UsageSchema, { lines: [{ meter: Meter.OUTPUT_TOKENS, quantity: 30n }] });

  const events = FRAMES.map((frame) => {
    const bytes = reader.read(frame);
    return bytes === undefined ? "" : writer.write(pieces.read(bytes)).toString();
  });
  const text = `${events.join("")}${writer.write(pieces.end())}${writer.end(usage, pieces.extras)}`;

  expect(text).toContain('"signature":"EqQBCgIYAhIkZ+/="');
  expect(text).toContain('"data":"RXRDQg=="');
  expect(text).toContain('"stop_reason":"tool_use"');
  expect(text.match(/event: content_block_start/g)).toHaveLength(5);
  expect(text.match(/event: content_block_stop/g)).toHaveLength(5);
  expect(text.match(/event: message_stop/g)).toHaveLength(1);
});

it("a caller of Anthropic's format gives them back byte for byte, with its marks for the cache", () => {
  const request = {
    model: "small",
    max_tokens: 9,
    system: [{ type: "text", text: "s", cache_control: { type: "ephemeral" } }],
    messages: [
      { role: "user", content: "hi" },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm", signature: "EqQBCgIYAhIkZ+/=" },
          { type: "redacted_thinking", data: "RXRDQg==" },
          { type: "tool_use", id: "t1", name: "f", input: { a: 1 } },
        ],
      },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "ok" }] },
    ],
    tools: [{ name: "f", input_schema: { type: "object" } }],
    thinking: { type: "enabled", budget_tokens: 1024 },
    metadata: { user_id: "u" },
  };
  const asked = {
    model: "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    streamed: true,
    maxOutputTokens: 100n,
    from: "messages" as const,
    lose: (field: string): never => {
      throw new Error(`lost ${field}`);
    },
    leaveOut: (field: string): never => {
      throw new Error(`left out ${field}`);
    },
  };

  const body = composeTyped(readInput(Buffer.from(JSON.stringify(request))), asked);

  expect(JSON.parse(body.toString())).toEqual({
    system: [{ text: "s" }, { cachePoint: { type: "default" } }],
    messages: [
      { role: "user", content: [{ text: "hi" }] },
      {
        role: "assistant",
        content: [
          { reasoningContent: { reasoningText: { text: "hm", signature: "EqQBCgIYAhIkZ+/=" } } },
          { reasoningContent: { redactedContent: "RXRDQg==" } },
          { toolUse: { toolUseId: "t1", name: "f", input: { a: 1 } } },
        ],
      },
      { role: "user", content: [{ toolResult: { toolUseId: "t1", content: [{ text: "ok" }] } }] },
    ],
    inferenceConfig: { maxTokens: 9 },
    toolConfig: { tools: [{ toolSpec: { name: "f", inputSchema: { json: { type: "object" } } } }] },
    additionalModelRequestFields: { thinking: { type: "enabled", budget_tokens: 1024 } },
    requestMetadata: { end_user: "u" },
  });
});
