import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChatInputSchema, Role, StopReason, ToolChoiceMode } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { composeTyped, toTypedAnswer } from "./codec.ts";
import { OpenAiPieceReader } from "./pieces.ts";

type Input = MessageInitShape<typeof ChatInputSchema>;
const compose = (input: Input, streamed = false) =>
  JSON.parse(composeTyped(create(ChatInputSchema, { model: "asked", ...input }), streamed, "target").toString());
const text = (value: string) => ({ content: { case: "text" as const, value: { text: value } } });
const USER = { role: Role.USER, blocks: [text("hi")] };

describe("composeTyped()", () => {
  it("writes a conversation with tools, pictures and files", () => {
    const { messages } = compose({
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
            { content: { case: "reasoning", value: { text: "hm" } } },
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

    expect(messages).toEqual([
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
    const { messages: _, ...body } = compose(
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
      true,
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

  it.each<[string, Input]>([
    ["input.reasoning.max_tokens", { messages: [USER], reasoning: { maxTokens: 5n } }],
    ['input.extras["Model"]', { messages: [USER], extras: { Model: "other" } }],
    ['input.extras["max_tokens"]', { messages: [USER], extras: { max_tokens: 1 } }],
    ["input.tools[0].input_schema_json", { messages: [USER], tools: [{ name: "f", inputSchemaJson: "{" }] }],
    [
      "input.messages[0].blocks[0]",
      { messages: [{ role: Role.USER, blocks: [{ content: { case: "toolResult", value: { toolUseId: "t" } } }] }] },
    ],
    ["input.messages[0].blocks[0]", { messages: [{ role: Role.TOOL, blocks: [text("x")] }] }],
    [
      "input.messages[0].blocks[0]",
      {
        messages: [
          {
            role: Role.USER,
            blocks: [{ content: { case: "file", value: { source: { case: "url", value: "https://x" } } } }],
          },
        ],
      },
    ],
  ])("refuses what it can't say: %s", (field, input) => {
    expect(() => compose(input)).toThrow(expect.objectContaining({ reason: "ARGUMENT_INVALID", facts: { field } }));
  });
});

describe("toTypedAnswer()", () => {
  it("makes blocks of content, reasoning, refusal and tool calls, and keeps what it does not know", () => {
    const message = {
      role: "assistant",
      content: "Hello",
      reasoning_content: "hm",
      refusal: null,
      tool_calls: [{ id: "t1", type: "function", function: { name: "f", arguments: "{" } }],
      annotations: [1],
    };
    const body = {
      id: "c",
      model: "m",
      choices: [{ index: 1, message, logprobs: null, finish_reason: "length" }],
      usage: {},
    };

    const { providerModel, candidates, extras } = toTypedAnswer(Buffer.from(JSON.stringify(body)));

    expect(providerModel).toBe("m");
    expect(extras).toEqual({ id: "c" });
    expect(candidates).toMatchObject([
      {
        index: 1,
        stopReason: StopReason.MAX_OUTPUT_TOKENS,
        providerStopReason: "length",
        extras: { annotations: [1] },
      },
    ]);
    expect(candidates[0]?.blocks.map(({ content }) => [content.case, content.value])).toMatchObject([
      ["reasoning", { text: "hm" }],
      ["text", { text: "Hello" }],
      ["toolUse", { id: "t1", name: "f", inputJson: "{" }],
    ]);
  });
});

describe("OpenAiPieceReader", () => {
  const event = (delta: object, finish: string | null = null, index = 0) =>
    Buffer.from(
      `data: ${JSON.stringify({ id: "c", model: "m", choices: [{ index, delta, finish_reason: finish }] })}\n\n`,
    );
  const tell = (pieces: StreamResponse["piece"][]) =>
    pieces.map((piece) => {
      if (piece.case === "blockStarted")
        return `start ${piece.value.candidate}.${piece.value.index} ${piece.value.block?.content.case}`;
      if (piece.case === "blockDelta")
        return `${piece.value.candidate}.${piece.value.index} ${piece.value.delta.value}`;
      if (piece.case === "blockStopped") return `stop ${piece.value.candidate}.${piece.value.index}`;
      if (piece.case === "candidateStopped") return `end ${piece.value.candidate} ${piece.value.providerStopReason}`;
      return String(piece.case);
    });

  it("begins a block where another kind of content does, and ends it where the next begins", () => {
    const reader = new OpenAiPieceReader();

    const pieces = [
      event({ role: "assistant", content: "" }),
      event({ reasoning_content: "hm" }),
      event({ content: "Hel" }),
      event({ content: "lo" }),
      event({ tool_calls: [{ index: 0, id: "t1", function: { name: "f", arguments: "" } }] }),
      event({ tool_calls: [{ index: 0, function: { arguments: '{"a' } }] }),
      event({ tool_calls: [{ index: 1, id: "t2", function: { name: "g", arguments: "{}" } }] }),
      event({ tool_calls: [{ index: 0, function: { arguments: '":1}' } }] }),
      event({}, "tool_calls"),
      Buffer.from("data: [DONE]\n\n"),
    ].flatMap((bytes) => reader.read(bytes));

    expect(tell([...pieces, ...reader.end()])).toEqual([
      "start 0.0 reasoning",
      "0.0 hm",
      "stop 0.0",
      "start 0.1 text",
      "0.1 Hel",
      "0.1 lo",
      "stop 0.1",
      "start 0.2 toolUse",
      '0.2 {"a',
      "start 0.3 toolUse",
      "0.3 {}",
      '0.2 ":1}',
      "stop 0.2",
      "stop 0.3",
      "end 0 tool_calls",
    ]);
    expect(reader.providerModel).toBe("m");
  });

  it("keeps candidates apart, and ends those that the provider did not", () => {
    const reader = new OpenAiPieceReader();

    const pieces = [event({ content: "a" }, null, 0), event({ content: "b" }, null, 1), event({}, "stop", 1)].flatMap(
      (bytes) => reader.read(bytes),
    );

    expect(tell([...pieces, ...reader.end()])).toEqual([
      "start 0.0 text",
      "0.0 a",
      "start 1.0 text",
      "1.0 b",
      "stop 1.0",
      "end 1 stop",
      "stop 0.0",
      "end 0 ",
    ]);
  });
});
