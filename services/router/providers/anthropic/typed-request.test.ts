import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChatInputSchema, Role, ToolChoiceMode } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { composeTyped } from "./typed-request.ts";

type Input = MessageInitShape<typeof ChatInputSchema>;
type BlockInit = NonNullable<NonNullable<Input["messages"]>[number]["blocks"]>[number];

/** Writes a request; what is lost is dropped and told. */
function compose(input: Input, ask: Partial<TypedAsk> = {}) {
  const lost: string[] = [];
  const asked: TypedAsk = {
    model: "claude",
    streamed: false,
    maxOutputTokens: 4096n,
    lose: (field) => lost.push(field),
    leaveOut: (field) => lost.push(`left out: ${field}`),
    ...ask,
  };
  const message = create(ChatInputSchema, { model: "asked", messages: [USER], ...input });
  return { body: JSON.parse(composeTyped(message, asked).toString()), lost };
}
const text = (value: string, extras?: BlockInit["extras"]): BlockInit => ({
  content: { case: "text", value: { text: value } },
  ...(extras && { extras }),
});
const USER = { role: Role.USER, blocks: [text("hi")] };
const use = (id: string): BlockInit => ({ content: { case: "toolUse", value: { id, name: "f", inputJson: "{}" } } });
const result = (toolUseId: string, ...blocks: BlockInit[]): BlockInit => ({
  content: { case: "toolResult", value: { toolUseId, blocks } },
});

describe("composeTyped()", () => {
  it("names a cap, since the API wants one, of the target when the caller named none", () => {
    expect(compose({}).body.max_tokens).toBe(4096);
    expect(compose({ maxOutputTokens: 7n }).body.max_tokens).toBe(7);
  });

  it("writes the turns of the operator at the beginning as system, and later ones where they are", () => {
    const { body } = compose({
      messages: [
        { role: Role.SYSTEM, blocks: [text("a", { cache_control: { type: "ephemeral" } })] },
        { role: Role.DEVELOPER, blocks: [text("b")] },
        USER,
        { role: Role.SYSTEM, blocks: [text("c")] },
      ],
    });

    expect(body.system).toEqual([
      { type: "text", text: "a", cache_control: { type: "ephemeral" } },
      { type: "text", text: "b" },
    ]);
    expect(body.messages).toEqual([
      { role: "user", content: "hi" },
      { role: "system", content: "c" },
    ]);
  });

  it("puts the answers of tools together in a turn of the user, before what the user adds", () => {
    const { body } = compose({
      messages: [
        USER,
        { role: Role.ASSISTANT, blocks: [use("a"), use("b:1")] },
        { role: Role.TOOL, blocks: [result("a", text("one"))] },
        { role: Role.TOOL, blocks: [result("b:1")] },
        USER,
        USER,
      ],
    });

    expect(body.messages.slice(1)).toEqual([
      {
        role: "assistant",
        content: [
          { type: "tool_use", id: "a", name: "f", input: {} },
          // The API takes no colon.
          { type: "tool_use", id: "_b_1", name: "f", input: {} },
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "a", content: [{ type: "text", text: "one" }] },
          { type: "tool_result", tool_use_id: "_b_1" },
          { type: "text", text: "hi" },
        ],
      },
      { role: "user", content: "hi" },
    ]);
  });

  it("leaves out turns and texts that say nothing, which the API does not take", () => {
    const { body, lost } = compose({
      messages: [
        USER,
        { role: Role.ASSISTANT, blocks: [text("")] },
        { role: Role.USER, blocks: [text(""), text("x")] },
      ],
    });

    expect(body.messages).toEqual([
      { role: "user", content: "hi" },
      { role: "user", content: "x" },
    ]);
    expect(lost).toEqual([]);
  });

  it("writes pictures and documents", () => {
    const content = Buffer.from("abc");
    const { body } = compose({
      messages: [
        {
          role: Role.USER,
          blocks: [
            {
              content: {
                case: "image",
                value: { source: { case: "content", value: content }, mediaType: "image/png", detail: "auto" },
              },
            },
            { content: { case: "image", value: { source: { case: "url", value: "https://x/y.png" } } } },
            {
              content: {
                case: "file",
                value: { source: { case: "content", value: content }, mediaType: "application/pdf", filename: "a.pdf" },
              },
            },
            {
              content: {
                case: "file",
                value: { source: { case: "content", value: content }, mediaType: "text/plain" },
              },
            },
            { content: { case: "file", value: { source: { case: "fileId", value: "file_1" } } } },
          ],
        },
      ],
    });

    expect(body.messages[0].content).toEqual([
      { type: "image", source: { type: "base64", media_type: "image/png", data: "YWJj" } },
      { type: "image", source: { type: "url", url: "https://x/y.png" } },
      { type: "document", source: { type: "base64", media_type: "application/pdf", data: "YWJj" }, title: "a.pdf" },
      { type: "document", source: { type: "text", media_type: "text/plain", data: "abc" } },
      { type: "document", source: { type: "file", file_id: "file_1" } },
    ]);
  });

  it("writes everything else that can be asked", () => {
    const { body, lost } = compose(
      {
        tools: [{ name: "f", description: "d", inputSchemaJson: '{"properties":{}}', strict: true }, { name: "g" }],
        toolChoice: { choice: { case: "tool", value: "f" }, single: true },
        responseFormat: {
          form: { case: "jsonSchema", value: { name: "S", description: "D", schemaJson: '{"type":"object"}' } },
        },
        endUser: "u",
        sampling: { temperature: 1, topP: 0.5, topK: 4n, stopSequences: ["x"], frequencyPenalty: 0 },
        reasoning: { effort: "high" },
        extras: { service_tier: "auto", thinking: { display: "omitted" } },
      },
      { streamed: true },
    );

    expect(lost).toEqual([]);
    expect(body).toEqual({
      model: "claude",
      max_tokens: 4096,
      messages: [{ role: "user", content: "hi" }],
      stream: true,
      tools: [
        { name: "f", description: "d", input_schema: { type: "object", properties: {} }, strict: true },
        { name: "g", input_schema: { type: "object" } },
      ],
      tool_choice: { type: "tool", name: "f", disable_parallel_tool_use: true },
      output_config: {
        effort: "high",
        format: { type: "json_schema", schema: { title: "S", description: "D", type: "object" } },
      },
      metadata: { user_id: "u" },
      temperature: 1,
      top_p: 0.5,
      top_k: 4,
      stop_sequences: ["x"],
      thinking: { type: "adaptive", display: "omitted" },
      service_tier: "auto",
    });
  });

  it.each([
    [{ maxTokens: 2000n }, { type: "enabled", budget_tokens: 2000 }],
    [{ effort: "low" }, { type: "adaptive" }],
    [{}, { type: "adaptive" }],
    [{ effort: "none" }, { type: "disabled" }],
  ])("writes reasoning %o as %j", (reasoning, thinking) => {
    expect(compose({ reasoning }).body.thinking).toEqual(thinking);
  });

  it.each([
    [ToolChoiceMode.AUTO, { type: "auto" }],
    [ToolChoiceMode.NONE, { type: "none" }],
    [ToolChoiceMode.ANY, { type: "any" }],
  ])("writes the choice %i as %j", (value, said) => {
    expect(
      compose({ tools: [{ name: "f" }], toolChoice: { choice: { case: "mode", value } } }).body.tool_choice,
    ).toEqual(said);
  });

  const ofAssistant = (...blocks: BlockInit[]) => ({ messages: [USER, { role: Role.ASSISTANT, blocks }] });
  it.each<[string, Input, Partial<TypedAsk>?]>([
    ["candidates", { candidates: 2 }],
    ["sampling.seed", { sampling: { seed: 1n } }],
    ["sampling.temperature", { sampling: { temperature: 1.5 } }],
    ["sampling.frequency_penalty", { sampling: { frequencyPenalty: 1 } }],
    ["sampling.presence_penalty", { sampling: { presencePenalty: 1 } }],
    ["reasoning.effort", { reasoning: { effort: "minimal" } }],
    ["response_format.json_object", { responseFormat: { form: { case: "jsonObject", value: {} } } }],
    ["messages[0].name", { messages: [{ ...USER, name: "bob" }] }],
    [
      "messages[0].blocks[0].image.detail",
      {
        messages: [
          {
            role: Role.USER,
            blocks: [
              { content: { case: "image", value: { source: { case: "url", value: "https://x" }, detail: "high" } } },
            ],
          },
        ],
      },
    ],
    [
      "messages[0].blocks[0]",
      {
        messages: [
          {
            role: Role.USER,
            blocks: [
              {
                content: {
                  case: "file",
                  value: { source: { case: "content", value: Buffer.from("x") }, mediaType: "audio/wav" },
                },
              },
            ],
          },
        ],
      },
    ],
    [
      "messages[0].blocks[0]",
      {
        messages: [
          {
            role: Role.USER,
            blocks: [{ content: { case: "file", value: { source: { case: "fileId", value: "file-1" } } } }],
          },
        ],
      },
      { from: "chat-completions" },
    ],
    ["left out: messages[1].blocks[0]", ofAssistant({ content: { case: "reasoning", value: { text: "hm" } } })],
    [
      "left out: messages[1].blocks[0]",
      ofAssistant({ content: { case: "reasoning", value: { redacted: "gAAAAABoZW" } } }),
    ],
    [
      "left out: messages[1].blocks[0]",
      ofAssistant({ content: { case: "reasoning", value: { text: "hm", signature: "~weir-google:Ab==" } } }),
    ],
    [
      "left out: messages[1].blocks[0]",
      ofAssistant({ content: { case: "reasoning", value: { redacted: "~weir-openai:gAAA==" } } }),
    ],
    [
      "messages[1].blocks[0].tool_use.input_json",
      ofAssistant({ content: { case: "toolUse", value: { id: "t", name: "f", inputJson: '{"a":' } } }),
    ],
    ['extras["logit_bias"]', { extras: { logit_bias: { "1": 1 } } }, { from: "chat-completions" }],
    ['extras["tools"]', { extras: { tools: [] } }, { from: "chat-completions" }],
    ['extras["service_tier"]', { extras: { service_tier: "flex" } }, { from: "responses" }],
    ["tools[0]", { tools: [{ name: "f", extras: { type: "x" } }] }, { from: "responses" }],
  ])("loses %s when it can't be said", (field, input, ask) => {
    expect(compose(input, ask).lost).toEqual([field]);
  });

  it("writes what it lost as if it had not been there", () => {
    const { body } = compose({
      ...ofAssistant({ content: { case: "reasoning", value: { text: "secret" } } }),
      sampling: { temperature: 2 },
    });

    expect(JSON.stringify(body)).not.toMatch(/secret|temperature/);
  });

  it.each<[string, Input]>([
    ["tools[0].input_schema_json", { tools: [{ name: "f", inputSchemaJson: "{" }] }],
    [
      "response_format.json_schema.schema_json",
      { responseFormat: { form: { case: "jsonSchema", value: { schemaJson: "[]" } } } },
    ],
    ["messages[0].blocks[0]", { messages: [{ role: Role.TOOL, blocks: [text("x")] }] }],
    ['extras["Model"]', { extras: { Model: "other" } }],
    ['extras["max_tokens"]', { extras: { max_tokens: 1 } }],
  ])("refuses what is broken: %s", (field, input) => {
    expect(() => compose(input)).toThrow(`"${field}"`);
  });
});
