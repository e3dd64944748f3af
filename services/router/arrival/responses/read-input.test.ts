import { toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChatInputSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { readInput } from "./read-input.ts";

function read(request: Record<string, unknown>) {
  return toJson(ChatInputSchema, readInput(Buffer.from(JSON.stringify({ model: "large", ...request }))));
}

const USER = { role: "ROLE_USER", blocks: [{ text: { text: "How deep?" } }] };

describe("readInput()", () => {
  it("reads a text as one turn of the user", () => {
    expect(read({ input: "How deep?" })).toEqual({ model: "large", messages: [USER], sampling: {} });
  });

  it("reads instructions as the first turn, of the system", () => {
    expect(read({ instructions: "Be brief.", input: "How deep?" })).toMatchObject({
      messages: [{ role: "ROLE_SYSTEM", blocks: [{ text: { text: "Be brief." } }] }, USER],
    });
  });

  it("reads how the answer is drawn, how far, and in what form", () => {
    const schema = { type: "object", properties: { depth: { type: "number" } } };

    const input = read({
      input: "How deep?",
      temperature: 0.5,
      top_p: 0.9,
      max_output_tokens: 100,
      reasoning: { effort: "low", summary: "auto" },
      text: {
        format: { type: "json_schema", name: "depth", schema, strict: true, description: "d" },
        verbosity: "low",
      },
      safety_identifier: "u-1",
      metadata: { a: "b" },
    });

    expect(input).toEqual({
      model: "large",
      messages: [USER],
      sampling: { temperature: 0.5, topP: 0.9 },
      maxOutputTokens: "100",
      reasoning: { effort: "low" },
      responseFormat: {
        jsonSchema: { name: "depth", schemaJson: JSON.stringify(schema), strict: true, description: "d" },
      },
      endUser: "u-1",
      extras: { metadata: { a: "b" }, verbosity: "low" },
    });
  });

  it("reads functions, and leaves tools that only OpenAI has over", () => {
    const input = read({
      input: "How deep?",
      tools: [
        { type: "function", name: "measure", description: "Measures", parameters: { type: "object" }, strict: null },
        { type: "web_search" },
      ],
      tool_choice: { type: "function", name: "measure" },
      parallel_tool_calls: false,
    });

    expect(input).toMatchObject({
      tools: [{ name: "measure", description: "Measures", inputSchemaJson: '{"type":"object"}' }],
      toolChoice: { tool: "measure", single: true },
      extras: { tools: [{ type: "web_search" }] },
    });
  });

  it("reads pictures and files, as bytes, by address and by id", () => {
    const content = [
      { type: "input_image", image_url: "data:image/png;base64,cG5n", detail: "auto" },
      { type: "input_image", image_url: "https://example.com/a.png", detail: "high" },
      { type: "input_file", filename: "a.pdf", file_data: "data:application/pdf;base64,cGRm" },
      { type: "input_file", file_url: "https://example.com/a.pdf" },
      { type: "input_file", file_id: "file-1" },
    ];

    expect(read({ input: [{ role: "user", content }] })).toMatchObject({
      messages: [
        {
          blocks: [
            { image: { content: "cG5n", mediaType: "image/png" } },
            { image: { url: "https://example.com/a.png", detail: "high" } },
            { file: { content: "cGRm", mediaType: "application/pdf", filename: "a.pdf" } },
            { file: { url: "https://example.com/a.pdf" } },
            { file: { fileId: "file-1" } },
          ],
        },
      ],
    });
  });

  it("joins what the assistant did, and the outputs of its calls, into one turn each", () => {
    const { messages } = read({
      input: [
        { role: "user", content: "How deep?" },
        {
          type: "reasoning",
          id: "rs_1",
          summary: [{ type: "summary_text", text: "Hm" }],
          encrypted_content: "~weir-signature:s",
        },
        {
          type: "message",
          id: "msg_1",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "I measure", annotations: [] }],
        },
        { type: "function_call", id: "fc_1", call_id: "a", name: "measure", arguments: '{"x":1}' },
        { type: "function_call", id: "fc_2", call_id: "b", name: "measure", arguments: "not JSON" },
        { type: "function_call_output", call_id: "a", output: "9" },
        { type: "function_call_output", call_id: "b", output: [{ type: "input_text", text: "8" }] },
      ],
    }) as { messages: unknown };

    expect(messages).toEqual([
      USER,
      {
        role: "ROLE_ASSISTANT",
        blocks: [
          { reasoning: { text: "Hm", signature: "s" } },
          { text: { text: "I measure" } },
          { toolUse: { id: "a", name: "measure", inputJson: '{"x":1}' } },
          { toolUse: { id: "b", name: "measure", inputJson: "not JSON" } },
        ],
      },
      {
        role: "ROLE_TOOL",
        blocks: [
          { toolResult: { toolUseId: "a", blocks: [{ text: { text: "9" } }] } },
          { toolResult: { toolUseId: "b", blocks: [{ text: { text: "8" } }] } },
        ],
      },
    ]);
  });

  it("keeps turns of the user apart", () => {
    const input = [
      { role: "user", content: "How deep?" },
      { role: "user", content: "How deep?" },
    ];

    expect(read({ input })).toMatchObject({ messages: [USER, USER] });
  });

  it("marks what OpenAI encrypted as its, since nobody else can read it", () => {
    const input = [{ type: "reasoning", id: "rs_1", summary: [], encrypted_content: "gAAA==" }];

    expect(read({ input })).toMatchObject({
      messages: [{ blocks: [{ reasoning: { redacted: "~weir-openai:gAAA==" } }] }],
    });
  });

  it("leaves out reasoning of which there is but a summary for people", () => {
    const input = [
      { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "Hm" }] },
      { role: "user", content: "How deep?" },
    ];

    expect(read({ input })).toMatchObject({ messages: [USER] });
  });

  it("marks a reference to reasoning as OpenAI's", () => {
    const input = [{ type: "item_reference", id: "rs_1" }];

    expect(read({ input })).toMatchObject({
      messages: [{ role: "ROLE_ASSISTANT", blocks: [{ reasoning: { redacted: "~weir-openai:rs_1" } }] }],
    });
  });

  it("takes what says no more than its absence without a word", () => {
    const input = read({
      input: "How deep?",
      store: true,
      background: false,
      stream: true,
      stream_options: { include_obfuscation: false },
      include: ["reasoning.encrypted_content"],
      truncation: "disabled",
      service_tier: "auto",
      previous_response_id: null,
      conversation: null,
      text: { format: { type: "text" } },
      tools: [],
      metadata: {},
      top_logprobs: 0,
    });

    expect(input).toEqual({ model: "large", messages: [USER], sampling: {} });
  });

  it("leaves what it does not know over, by its own name", () => {
    const input = read({
      input: "How deep?",
      truncation: "auto",
      include: ["message.output_text.logprobs"],
      reasoning: { summary: "detailed" },
      tool_choice: { type: "allowed_tools", mode: "auto", tools: [] },
      new_thing: 1,
    });

    expect(input).toMatchObject({
      extras: {
        truncation: "auto",
        include: ["message.output_text.logprobs"],
        reasoning: { summary: "detailed" },
        tool_choice: { type: "allowed_tools", mode: "auto", tools: [] },
        new_thing: 1,
      },
    });
  });

  it.each([
    ["previous_response_id", { input: "x", previous_response_id: "resp_1" }],
    ["conversation", { input: "x", conversation: { id: "conv_1" } }],
    ["prompt", { prompt: { id: "pmpt_1" } }],
    ["input[0]", { input: [{ type: "item_reference", id: "msg_1" }] }],
    ["input[0].type", { input: [{ type: "computer_call" }] }],
    ["input[0].content[0].type", { input: [{ role: "user", content: [{ type: "input_audio" }] }] }],
    ["input[0].content[0].file_id", { input: [{ role: "user", content: [{ type: "input_image", file_id: "f" }] }] }],
    ["input[0].role", { input: [{ role: "tool", content: "x" }] }],
    ["input[0].content", { input: [{ role: "user" }] }],
    ["input[0]", { input: [7] }],
    ["input", { input: [] }],
    ["input", {}],
    ["tools[0].name", { input: "x", tools: [{ type: "function" }] }],
    ["tool_choice", { input: "x", tool_choice: "maybe" }],
    ["text.format.type", { input: "x", text: { format: { type: "xml" } } }],
  ])("refuses by the name of the field: %s", (field, request) => {
    expect(() => read(request)).toThrow(expect.objectContaining({ reason: "ARGUMENT_INVALID", facts: { field } }));
  });
});
