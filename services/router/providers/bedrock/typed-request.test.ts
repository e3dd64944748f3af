import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChatInputSchema, Role, ToolChoiceMode } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import { composeTyped } from "./typed-request.ts";

type Input = MessageInitShape<typeof ChatInputSchema>;
type BlockInit = NonNullable<NonNullable<Input["messages"]>[number]["blocks"]>[number];

const CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
const text = (value: string, extras?: BlockInit["extras"]) => ({
  content: { case: "text" as const, value: { text: value } },
  ...(extras !== undefined && { extras }),
});
const USER = { role: Role.USER, blocks: [text("hi")] };

/** Composes and says what was lost, as a policy has it that lets it be dropped. */
function compose(input: Input, model = CLAUDE) {
  const lost: string[] = [];
  const body = composeTyped(create(ChatInputSchema, { model: "asked", ...input }), {
    model,
    streamed: false,
    maxOutputTokens: 100n,
    lose: (field) => lost.push(field),
    leaveOut: (field) => lost.push(`left out: ${field}`),
  });
  return { body: JSON.parse(body.toString()), text: body.toString(), lost };
}

describe("composeTyped()", () => {
  it("writes a conversation with tools, whose results are the user's", () => {
    const { body, lost } = compose({
      messages: [
        { role: Role.SYSTEM, blocks: [text("be brief")] },
        { role: Role.DEVELOPER, blocks: [text("and kind")] },
        { role: Role.USER, blocks: [text("look")] },
        {
          role: Role.ASSISTANT,
          blocks: [
            { content: { case: "reasoning", value: { text: "hm", signature: "s+/=" } } },
            { content: { case: "reasoning", value: { redacted: "RXRD" } } },
            { content: { case: "toolUse", value: { id: "t1", name: "f", inputJson: '{"a": 1}' } } },
            { content: { case: "toolUse", value: { id: "t2", name: "g", inputJson: "" } } },
          ],
        },
        {
          role: Role.TOOL,
          blocks: [
            { content: { case: "toolResult", value: { toolUseId: "t1", blocks: [text("one")], failed: true } } },
          ],
        },
        {
          role: Role.TOOL,
          blocks: [{ content: { case: "toolResult", value: { toolUseId: "t2", blocks: [text("a"), text("b")] } } }],
        },
        { role: Role.USER, blocks: [text("go on")] },
      ],
      tools: [{ name: "f", inputSchemaJson: '{"type":"object"}' }],
    });

    expect(lost).toEqual([]);
    expect(body).toEqual({
      system: [{ text: "be brief" }, { text: "and kind" }],
      messages: [
        { role: "user", content: [{ text: "look" }] },
        {
          role: "assistant",
          content: [
            { reasoningContent: { reasoningText: { text: "hm", signature: "s+/=" } } },
            { reasoningContent: { redactedContent: "RXRD" } },
            { toolUse: { toolUseId: "t1", name: "f", input: { a: 1 } } },
            { toolUse: { toolUseId: "t2", name: "g", input: {} } },
          ],
        },
        {
          role: "user",
          content: [
            { toolResult: { toolUseId: "t1", content: [{ text: "one" }], status: "error" } },
            { toolResult: { toolUseId: "t2", content: [{ text: "a" }, { text: "b" }] } },
            { text: "go on" },
          ],
        },
      ],
      toolConfig: { tools: [{ toolSpec: { name: "f", inputSchema: { json: { type: "object" } } } }] },
    });
  });

  it("writes pictures and documents, whose names it makes such that Bedrock takes them", () => {
    const file = (filename: string, mediaType: string) => ({
      content: {
        case: "file" as const,
        value: { source: { case: "content" as const, value: Buffer.from("x") }, mediaType, filename },
      },
    });
    const image = {
      content: {
        case: "image" as const,
        value: {
          source: { case: "content" as const, value: Buffer.from("png") },
          mediaType: "image/png",
          detail: "auto",
        },
      },
    };

    const { body, lost } = compose({
      messages: [
        {
          role: Role.USER,
          blocks: [
            image,
            file("Größe_v2.final.pdf", "application/pdf"),
            file("Größe_v2.final.md", ""),
            { ...file("", "text/plain; charset=utf-8"), extras: { citations: { enabled: true }, context: "c" } },
            {
              content: {
                case: "image",
                value: { source: { case: "url", value: "s3://bucket/a.jpg" }, mediaType: "image/jpeg" },
              },
            },
          ],
        },
        {
          role: Role.ASSISTANT,
          blocks: [{ content: { case: "toolUse", value: { id: "t", name: "f", inputJson: "{}" } } }],
        },
        {
          role: Role.TOOL,
          blocks: [{ content: { case: "toolResult", value: { toolUseId: "t", blocks: [image] } } }],
        },
      ],
    });

    const source = { bytes: "eA==" };
    expect(lost).toEqual([]);
    expect(body.messages[0].content).toEqual([
      { image: { format: "png", source: { bytes: "cG5n" } } },
      { document: { format: "pdf", name: "Gr--e-v2-final", source } },
      { document: { format: "md", name: "Gr--e-v2-final (2)", source } },
      { document: { format: "txt", name: "document", source, context: "c", citations: { enabled: true } } },
      { image: { format: "jpeg", source: { s3Location: { uri: "s3://bucket/a.jpg" } } } },
    ]);
    expect(body.messages[2].content[0].toolResult.content).toEqual([
      { image: { format: "png", source: { bytes: "cG5n" } } },
    ]);
  });

  it("writes everything else that can be asked", () => {
    const { body, lost } = compose({
      messages: [USER],
      tools: [{ name: "f", description: "d", strict: true }],
      toolChoice: { choice: { case: "tool", value: "f" } },
      responseFormat: {
        form: {
          case: "jsonSchema",
          value: { name: "s", schemaJson: '{"type":"object"}', description: "sd", strict: true },
        },
      },
      maxOutputTokens: 9n,
      endUser: "u-1",
      reasoning: { maxTokens: 2048n },
      sampling: { temperature: 0, topP: 0.5, topK: 4n, stopSequences: ["x"], frequencyPenalty: 0 },
      extras: {
        additionalModelRequestFields: { anthropic_beta: ["b"] },
        guardrailConfig: { guardrailIdentifier: "g", guardrailVersion: "1" },
        requestMetadata: { team: "a" },
      },
    });

    expect(lost).toEqual([]);
    expect(body).toEqual({
      messages: [{ role: "user", content: [{ text: "hi" }] }],
      inferenceConfig: { maxTokens: 9, temperature: 0, topP: 0.5, stopSequences: ["x"] },
      toolConfig: {
        tools: [
          {
            toolSpec: {
              name: "f",
              description: "d",
              inputSchema: { json: { type: "object", properties: {} } },
              strict: true,
            },
          },
        ],
        toolChoice: { tool: { name: "f" } },
      },
      outputConfig: {
        textFormat: {
          type: "json_schema",
          structure: { jsonSchema: { schema: '{"type":"object"}', name: "s", description: "sd" } },
        },
      },
      additionalModelRequestFields: {
        anthropic_beta: ["b"],
        top_k: 4,
        thinking: { type: "enabled", budget_tokens: 2048 },
      },
      guardrailConfig: { guardrailIdentifier: "g", guardrailVersion: "1" },
      requestMetadata: { team: "a", end_user: "u-1" },
    });
  });

  it("writes cache points after what Converse's own and Anthropic's marks are on", () => {
    const { body, lost } = compose({
      messages: [
        { role: Role.SYSTEM, blocks: [text("s", { cache_control: { type: "ephemeral" } })] },
        { role: Role.USER, blocks: [text("a", { cachePoint: { type: "default" } }), text("b")] },
      ],
      tools: [{ name: "f", extras: { cache_control: { type: "ephemeral", ttl: "1h" } } }],
    });

    expect(lost).toEqual([]);
    expect(body.system).toEqual([{ text: "s" }, { cachePoint: { type: "default" } }]);
    expect(body.messages[0].content).toEqual([{ text: "a" }, { cachePoint: { type: "default" } }, { text: "b" }]);
    expect(body.toolConfig.tools[1]).toEqual({ cachePoint: { type: "default", ttl: "1h" } });
  });

  it("keeps the digits of a tool's input and schema", () => {
    const { text: written } = compose({
      messages: [
        USER,
        {
          role: Role.ASSISTANT,
          blocks: [
            {
              content: {
                case: "toolUse",
                value: { id: "t", name: "f", inputJson: '{"id":12345678901234567890,"x":1.0}' },
              },
            },
          ],
        },
      ],
      tools: [{ name: "f", inputSchemaJson: '{"maximum":98765432109876543210}' }],
    });

    expect(written).toContain('"input":{"id":12345678901234567890,"x":1.0}');
    expect(written).toContain('{"maximum":98765432109876543210}');
  });

  it("leaves out what says nothing: empty texts and turns", () => {
    const { body, lost } = compose({
      messages: [
        USER,
        { role: Role.ASSISTANT, blocks: [text("")] },
        { role: Role.USER, blocks: [text("there?", { citations: null, annotations: [] })] },
      ],
    });

    expect(lost).toEqual([]);
    expect(body.messages).toEqual([{ role: "user", content: [{ text: "hi" }, { text: "there?" }] }]);
  });

  it("has no tools when none may be used", () => {
    const toolChoice = { choice: { case: "mode" as const, value: ToolChoiceMode.NONE } };

    const { body, lost } = compose({ messages: [USER], tools: [{ name: "f" }], toolChoice });

    expect(lost).toEqual([]);
    expect(body.toolConfig).toBeUndefined();
  });

  it.each([
    ["anthropic.claude-opus-4-6-v1", { thinking: { type: "adaptive" }, output_config: { effort: "low" } }],
    ["us.amazon.nova-2-lite-v1:0", { reasoningConfig: { type: "enabled", maxReasoningEffort: "low" } }],
    ["openai.gpt-oss-120b-1:0", { reasoning_effort: "low" }],
  ])("says effort in the words of the model: %s", (model, fields) => {
    const { body, lost } = compose({ messages: [USER], reasoning: { effort: "low" } }, model);

    expect(lost).toEqual([]);
    expect(body.additionalModelRequestFields).toEqual(fields);
  });

  it.each<[string, Input, object]>([
    ["as much as it sees fit", { reasoning: {} }, { thinking: { type: "adaptive" } }],
    ["not at all", { reasoning: { effort: "none" } }, {}],
    [
      "as its own words have it",
      {
        reasoning: { effort: "max", maxTokens: 1024n },
        extras: { thinking: { display: "omitted" }, output_config: { task_budget: { total: 5 } } },
      },
      {
        thinking: { display: "omitted", type: "enabled", budget_tokens: 1024 },
        output_config: { task_budget: { total: 5 }, effort: "max" },
      },
    ],
    [
      "and uses one tool at a time",
      { tools: [{ name: "f" }], toolChoice: { choice: { case: "mode", value: ToolChoiceMode.AUTO }, single: true } },
      { tool_choice: { type: "auto", disable_parallel_tool_use: true } },
    ],
  ])("tells Claude to think %s", (_name, input, fields) => {
    const { body, lost } = compose({ messages: [USER], ...input });

    expect(lost).toEqual([]);
    expect(body.additionalModelRequestFields ?? {}).toEqual(fields);
  });

  it("makes no tool of the caller's of one that another provider runs", () => {
    const { body } = compose({
      messages: [USER],
      tools: [{ name: "web_search", extras: { type: "web_search_20250305" } }],
    });

    expect(body.toolConfig).toBeUndefined();
  });

  const use = (value: object) => ({
    role: Role.ASSISTANT,
    blocks: [{ content: { case: "toolUse" as const, value: { id: "t", name: "f", ...value } } }],
  });
  const content = (block: BlockInit["content"], role: Role = Role.USER) => ({
    messages: [{ role, blocks: [{ content: block }] }],
  });
  it.each<[string, Input, string?]>([
    ["candidates", { candidates: 2 }],
    ["sampling.temperature", { sampling: { temperature: 1.5 } }],
    ["sampling.seed", { sampling: { seed: 1n } }],
    ["sampling.frequency_penalty", { sampling: { frequencyPenalty: 1 } }],
    ["sampling.presence_penalty", { sampling: { presencePenalty: -1 } }],
    ["sampling.top_k", { sampling: { topK: 1n } }, "meta.llama3-70b-instruct-v1:0"],
    ["reasoning.effort", { reasoning: { effort: "low" } }, "meta.llama3-70b-instruct-v1:0"],
    ["reasoning.max_tokens", { reasoning: { maxTokens: 9n } }, "openai.gpt-oss-120b-1:0"],
    ["response_format.json_object", { responseFormat: { form: { case: "jsonObject", value: {} } } }],
    ["end_user", { endUser: "ü" }],
    [
      "tool_choice.single",
      { tools: [{ name: "f" }], toolChoice: { choice: { case: "mode", value: ToolChoiceMode.ANY }, single: true } },
    ],
    [
      "tool_choice",
      {
        messages: [USER, use({})],
        tools: [{ name: "f" }],
        toolChoice: { choice: { case: "mode", value: ToolChoiceMode.NONE } },
      },
    ],
    ['extras["store"]', { extras: { store: true } }],
    ["tools[0]", { tools: [{ name: "f", extras: { type: "web_search_20250305" } }] }],
    ['tools[0].extras["defer_loading"]', { tools: [{ name: "f", extras: { defer_loading: true } }] }],
    ['extras["thinking"]', { extras: { thinking: { display: "omitted" } } }, "meta.llama3-70b-instruct-v1:0"],
    ["reasoning.effort", { reasoning: { effort: "minimal" } }],
    ['messages[0].extras["x"]', { messages: [{ ...USER, extras: { x: 1 } }] }],
    ['messages[0].blocks[0].extras["x"]', { messages: [{ role: Role.USER, blocks: [text("a", { x: 1 })] }] }],
    ["messages[0].name", { messages: [{ ...USER, name: "n" }] }],
    ["messages[1].role", { messages: [USER, { role: Role.SYSTEM, blocks: [text("late")] }] }],
    ["messages[1].blocks[0].tool_use.input_json", { messages: [USER, use({ inputJson: '{"a":' })] }],
    ["messages[0].blocks[0]", content({ case: "image", value: { source: { case: "url", value: "https://x/y.png" } } })],
    [
      "messages[0].blocks[0]",
      content({ case: "image", value: { source: { case: "content", value: Buffer.of(1) }, mediaType: "image/tiff" } }),
    ],
    [
      "messages[0].blocks[0].image.detail",
      content({
        case: "image",
        value: { source: { case: "content", value: Buffer.of(1) }, mediaType: "image/png", detail: "low" },
      }),
    ],
    ["messages[0].blocks[0]", content({ case: "file", value: { source: { case: "fileId", value: "f1" } } })],
    [
      "messages[0].blocks[0]",
      content({ case: "file", value: { source: { case: "content", value: Buffer.of(1) }, mediaType: "video/mp4" } }),
    ],
    ["left out: messages[0].blocks[0]", content({ case: "reasoning", value: { text: "unsigned" } }, Role.ASSISTANT)],
    [
      "left out: messages[0].blocks[0]",
      content({ case: "reasoning", value: { text: "t", signature: "~weir-google:Ab==" } }, Role.ASSISTANT),
    ],
    [
      "left out: messages[0].blocks[0]",
      content({ case: "reasoning", value: { text: "t", signature: "s" } }, Role.ASSISTANT),
      "us.amazon.nova-2-lite-v1:0",
    ],
    ["messages[0].blocks[0]", content({ case: "reasoning", value: { text: "t", signature: "s" } })],
    ["messages[0].blocks[0]", content({ case: "toolResult", value: { toolUseId: "t" } }, Role.ASSISTANT)],
    [
      "messages[0].blocks[0].tool_result.blocks[0]",
      content(
        { case: "toolResult", value: { toolUseId: "t", blocks: [{ content: { case: "refusal", value: {} } }] } },
        Role.TOOL,
      ),
    ],
  ])("hands over what it can't say: %s", (field, input, model) => {
    expect(compose({ messages: [USER], ...input }, model).lost).toEqual([field]);
  });

  it("never makes unsigned reasoning a text", () => {
    const { text: written } = compose({
      messages: [
        USER,
        { role: Role.ASSISTANT, blocks: [{ content: { case: "reasoning", value: { text: "private" } } }, text("hi")] },
      ],
    });

    expect(written).not.toContain("private");
  });

  it.each<[string, Input]>([
    ["tools[0].input_schema_json", { tools: [{ name: "f", inputSchemaJson: "{" }] }],
    ["tools[0].input_schema_json", { tools: [{ name: "f", inputSchemaJson: `{"a":${"[".repeat(9999)}` }] }],
    [
      "response_format.json_schema.schema_json",
      { responseFormat: { form: { case: "jsonSchema", value: { schemaJson: "[]" } } } },
    ],
  ])("refuses what is broken: %s", (field, input) => {
    const run = () => compose({ messages: [USER], ...input });

    expect(run).toThrow(WeirError);
    expect(run).toThrow(expect.objectContaining({ reason: "ARGUMENT_INVALID", facts: { field } }));
  });
});
