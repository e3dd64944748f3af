import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Server } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import { ChatInputSchema, Role, ToolChoiceMode } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { Format } from "../dialect.ts";
import { getCapabilities } from "./capabilities.ts";
import { composeTyped } from "./typed-request.ts";

type Input = MessageInitShape<typeof ChatInputSchema>;
interface Asking {
  readonly streamed?: boolean;
  readonly from?: Format;
  readonly server?: Server;
}

function compose(input: Input, { streamed = false, from, server = Server.OPENAI }: Asking = {}) {
  const lost: string[] = [];
  const asked = {
    model: "target",
    streamed,
    maxOutputTokens: 1n,
    lose: (field: string) => void lost.push(field),
    leaveOut: (field: string) => void lost.push(`left out: ${field}`),
    ...(from !== undefined && { from }),
  };
  const bytes = composeTyped(create(ChatInputSchema, { model: "asked", ...input }), asked, getCapabilities(server));
  return { body: JSON.parse(bytes.toString()), lost };
}
const text = (value: string) => ({ content: { case: "text" as const, value: { text: value } } });
const USER = { role: Role.USER, blocks: [text("hi")] };

describe("composeTyped()", () => {
  it("writes a conversation with tools, pictures and files", () => {
    const { body, lost } = compose({
      messages: [
        { role: Role.SYSTEM, blocks: [text("be brief")], name: "boss" },
        {
          role: Role.USER,
          blocks: [
            text("look"),
            {
              content: {
                case: "image",
                value: {
                  source: { case: "content", value: Buffer.from("png") },
                  mediaType: "image/png",
                  detail: "low",
                },
              },
            },
            { content: { case: "image", value: { source: { case: "url", value: "https://x/y.png" } } } },
            { content: { case: "file", value: { source: { case: "fileId", value: "f1" }, filename: "a.pdf" } } },
          ],
        },
        {
          role: Role.ASSISTANT,
          blocks: [
            { content: { case: "toolUse", value: { id: "t1", name: "f", inputJson: '{"a":' } } },
            { content: { case: "toolUse", value: { id: "t2", name: "g", inputJson: "{}" } } },
          ],
        },
        {
          role: Role.TOOL,
          blocks: [
            { content: { case: "toolResult", value: { toolUseId: "t1", blocks: [text("one")] } } },
            { content: { case: "toolResult", value: { toolUseId: "t2", blocks: [text("a"), text("b")] } } },
          ],
        },
      ],
    });

    expect(lost).toEqual([]);
    expect(body.messages).toEqual([
      { role: "system", content: "be brief", name: "boss" },
      {
        role: "user",
        content: [
          { type: "text", text: "look" },
          { type: "image_url", image_url: { url: "data:image/png;base64,cG5n", detail: "low" } },
          { type: "image_url", image_url: { url: "https://x/y.png" } },
          { type: "file", file: { file_id: "f1", filename: "a.pdf" } },
        ],
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { id: "t1", type: "function", function: { name: "f", arguments: '{"a":' } },
          { id: "t2", type: "function", function: { name: "g", arguments: "{}" } },
        ],
      },
      { role: "tool", tool_call_id: "t1", content: "one" },
      {
        role: "tool",
        tool_call_id: "t2",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
    ]);
  });

  it("writes everything else that can be asked", () => {
    const {
      body: { messages: _, ...body },
    } = compose(
      {
        messages: [USER],
        tools: [{ name: "f", description: "d", inputSchemaJson: '{"type":"object"}', strict: true }],
        toolChoice: { choice: { case: "mode", value: ToolChoiceMode.ANY }, single: true },
        responseFormat: { form: { case: "jsonSchema", value: { name: "s", schemaJson: "{}", strict: true } } },
        maxOutputTokens: 9n,
        candidates: 2,
        endUser: "u",
        reasoning: { effort: "low" },
        sampling: {
          temperature: 0,
          topP: 0.5,
          topK: 4n,
          stopSequences: ["x"],
          seed: -1n,
          frequencyPenalty: 1,
          presencePenalty: -1,
        },
        extras: { service_tier: "flex" },
      },
      { streamed: true },
    );

    expect(body).toEqual({
      model: "target",
      stream: true,
      stream_options: { include_usage: true },
      tools: [
        { type: "function", function: { name: "f", description: "d", parameters: { type: "object" }, strict: true } },
      ],
      tool_choice: "required",
      parallel_tool_calls: false,
      response_format: { type: "json_schema", json_schema: { name: "s", schema: {}, strict: true } },
      max_completion_tokens: 9,
      n: 2,
      user: "u",
      reasoning_effort: "low",
      temperature: 0,
      top_p: 0.5,
      top_k: 4,
      stop: ["x"],
      seed: -1,
      frequency_penalty: 1,
      presence_penalty: -1,
      service_tier: "flex",
    });
  });

  const result = (value: object) => ({ content: { case: "toolResult" as const, value: { toolUseId: "t", ...value } } });

  it.each<[string, Input]>([
    ["reasoning.max_tokens", { messages: [USER], reasoning: { maxTokens: 5n } }],
    [
      "left out: messages[0].blocks[1]",
      {
        messages: [
          { role: Role.ASSISTANT, blocks: [text("a"), { content: { case: "reasoning", value: { text: "hm" } } }] },
        ],
      },
    ],
    [
      "messages[0].blocks[0]",
      {
        messages: [
          {
            role: Role.USER,
            blocks: [{ content: { case: "file", value: { source: { case: "url", value: "https://x" } } } }],
          },
        ],
      },
    ],
    [
      "messages[0].blocks[0].tool_result.failed",
      { messages: [{ role: Role.TOOL, blocks: [result({ failed: true })] }] },
    ],
    [
      "messages[0].blocks[0].tool_result.blocks[0]",
      {
        messages: [
          {
            role: Role.TOOL,
            blocks: [
              result({ blocks: [{ content: { case: "image", value: { source: { case: "url", value: "x" } } } }] }),
            ],
          },
        ],
      },
    ],
  ])("says what it can't say, and leaves it out: %s", (field, input) => {
    expect(compose(input).lost).toEqual([field]);
  });

  it.each<[string, Input]>([
    ['extras["Model"]', { messages: [USER], extras: { Model: "other" } }],
    ['extras["max_tokens"]', { messages: [USER], extras: { max_tokens: 1 } }],
    ["tools[0].input_schema_json", { messages: [USER], tools: [{ name: "f", inputSchemaJson: "{" }] }],
    ["messages[0].blocks[0]", { messages: [{ role: Role.TOOL, blocks: [text("x")] }] }],
  ])("refuses what is broken: %s", (field, input) => {
    expect(() => compose(input)).toThrow(expect.objectContaining({ reason: "ARGUMENT_INVALID", facts: { field } }));
  });

  it("loses whole what only another format has a form for", () => {
    const { body, lost } = compose(
      {
        messages: [
          USER,
          { role: Role.ASSISTANT, blocks: [{ ...text(""), extras: { type: "server_tool_use", id: "s" } }, text("a")] },
        ],
        tools: [{ name: "web_search", extras: { type: "web_search_20260318" } }],
        toolChoice: { choice: { case: "mode", value: ToolChoiceMode.AUTO } },
        extras: { user: "x" },
      },
      { from: "messages" },
    );

    expect(lost).toEqual(["tools[0]", 'extras["user"]', "messages[1].blocks[0]"]);
    expect(body.messages[1]).toEqual({ role: "assistant", content: "a" });
    expect(body).not.toHaveProperty("tools");
    expect(body).not.toHaveProperty("tool_choice");
  });

  it("takes the extras of another format for lost, but for what both know by one name", () => {
    const input = {
      messages: [{ ...USER, blocks: [{ ...text("hi"), extras: { cache_control: { type: "ephemeral" } } }] }],
      extras: { top_k_of_other: 1, service_tier: "flex" },
    };

    const fromMessages = compose(input, { from: "messages" });
    const fromResponses = compose(input, { from: "responses" });
    const own = compose(input);

    expect(fromMessages.lost).toEqual([
      'extras["top_k_of_other"]',
      'extras["service_tier"]',
      'messages[0].blocks[0].extras["cache_control"]',
    ]);
    expect(fromMessages.body).toEqual({ model: "target", messages: [{ role: "user", content: "hi" }] });
    expect(fromResponses.body.service_tier).toBe("flex");
    expect(own.lost).toEqual([]);
    expect(own.body.top_k_of_other).toBe(1);
  });

  it("makes messages of a tool's results wherever they stand, before what else the turn holds", () => {
    const { body } = compose({
      messages: [{ role: Role.USER, blocks: [text("and?"), result({ blocks: [text("1")] })] }],
    });

    expect(body.messages).toEqual([
      { role: "tool", tool_call_id: "t", content: "1" },
      { role: "user", content: "and?" },
    ]);
  });

  it("asks a server as it can be asked", () => {
    const { body } = compose({ messages: [USER], maxOutputTokens: 5n }, { streamed: true, server: Server.MISTRAL });

    expect(body).toMatchObject({ stream: true, max_tokens: 5 });
    expect(body).not.toHaveProperty("stream_options");
  });
});
