import { describe, expect, it } from "vitest";
import { Role, ToolChoiceMode } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { readInput } from "./read-input.ts";

const read = (body: object) =>
  readInput(Buffer.from(JSON.stringify({ model: "small", messages: [{ role: "user", content: "hi" }], ...body })));
const blocksOf = (message: object) =>
  read({ messages: [message] }).messages[0]?.blocks.map(({ content }) => [content.case, content.value]);

describe("readInput()", () => {
  it("makes turns of messages, and one of the answers of tools that follow each other", () => {
    const { messages } = read({
      messages: [
        { role: "system", content: "be brief", name: "boss" },
        { role: "developer", content: [{ type: "text", text: "no jokes" }] },
        { role: "user", content: "weather?" },
        {
          role: "assistant",
          content: null,
          tool_calls: [
            { id: "t1", type: "function", function: { name: "f", arguments: '{"a":1}' } },
            { id: "t2", type: "function", function: { name: "g", arguments: "{" } },
          ],
        },
        { role: "tool", tool_call_id: "t1", content: "sun" },
        { role: "tool", tool_call_id: "t2", content: [{ type: "text", text: "rain" }] },
      ],
    });

    expect(messages.map(({ role, name, blocks }) => [role, name, blocks.map(({ content }) => content.case)])).toEqual([
      [Role.SYSTEM, "boss", ["text"]],
      [Role.DEVELOPER, "", ["text"]],
      [Role.USER, "", ["text"]],
      [Role.ASSISTANT, "", ["toolUse", "toolUse"]],
      [Role.TOOL, "", ["toolResult", "toolResult"]],
    ]);
    expect(messages[3]?.blocks[1]?.content.value).toMatchObject({ id: "t2", name: "g", inputJson: "{" });
    expect(messages[4]?.blocks[1]?.content.value).toMatchObject({
      toolUseId: "t2",
      blocks: [{ content: { case: "text", value: { text: "rain" } } }],
    });
  });

  it("reads pictures, files and sound, by address or as bytes", () => {
    const blocks = blocksOf({
      role: "user",
      content: [
        { type: "image_url", image_url: { url: "https://x/y.png", detail: "low" } },
        { type: "image_url", image_url: { url: "data:image/png;base64,cG5n" } },
        { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,cGRm" } },
        { type: "file", file: { file_id: "f1" } },
        { type: "input_audio", input_audio: { data: "d2F2", format: "mp3" } },
      ],
    });

    expect(blocks).toMatchObject([
      ["image", { source: { case: "url", value: "https://x/y.png" }, detail: "low" }],
      ["image", { source: { case: "content", value: Buffer.from("png") }, mediaType: "image/png" }],
      [
        "file",
        { source: { case: "content", value: Buffer.from("pdf") }, mediaType: "application/pdf", filename: "a.pdf" },
      ],
      ["file", { source: { case: "fileId", value: "f1" } }],
      ["file", { source: { case: "content", value: Buffer.from("wav") }, mediaType: "audio/mp3" }],
    ]);
  });

  it("reads reasoning back with its signatures, as an answer gave it", () => {
    expect(
      blocksOf({
        role: "assistant",
        content: "Hello",
        reasoning_content: "hm",
        reasoning_details: [
          { index: 0, type: "reasoning.text", text: "hm", signature: "~weir-signature:c2ln" },
          { index: 1, type: "reasoning.encrypted", data: "eHh4" },
        ],
        refusal: "no",
      }),
    ).toMatchObject([
      ["reasoning", { text: "hm", signature: "c2ln", redacted: "" }],
      ["reasoning", { text: "", signature: "", redacted: "eHh4" }],
      ["text", { text: "Hello" }],
      ["refusal", { text: "no" }],
    ]);
    expect(blocksOf({ role: "assistant", content: "a", reasoning: "hm" })?.[0]).toMatchObject([
      "reasoning",
      { text: "hm" },
    ]);
  });

  it("reads how the answer is to be", () => {
    const input = read({
      tools: [
        { type: "function", function: { name: "f", description: "d", parameters: { type: "object" }, strict: true } },
      ],
      tool_choice: { type: "function", function: { name: "f" } },
      parallel_tool_calls: false,
      response_format: { type: "json_schema", json_schema: { name: "s", schema: { type: "object" }, strict: true } },
      max_tokens: 5,
      max_completion_tokens: 7,
      n: 2,
      user: "u1",
      reasoning_effort: "low",
      temperature: 0,
      top_p: 0.5,
      stop: "x",
      seed: -1,
      frequency_penalty: 1,
      presence_penalty: -1,
      stream: true,
      stream_options: { include_usage: true },
    });

    expect(input).toMatchObject({
      tools: [{ name: "f", description: "d", inputSchemaJson: '{"type":"object"}', strict: true }],
      toolChoice: { choice: { case: "tool", value: "f" }, single: true },
      responseFormat: {
        form: { case: "jsonSchema", value: { name: "s", schemaJson: '{"type":"object"}', strict: true } },
      },
      maxOutputTokens: 7n,
      candidates: 2,
      endUser: "u1",
      reasoning: { effort: "low" },
      sampling: {
        temperature: 0,
        topP: 0.5,
        stopSequences: ["x"],
        seed: -1n,
        frequencyPenalty: 1,
        presencePenalty: -1,
      },
    });
    expect(input.extras).toBeUndefined();
  });

  it.each([
    ["auto", ToolChoiceMode.AUTO],
    ["none", ToolChoiceMode.NONE],
    ["required", ToolChoiceMode.ANY],
  ])("reads the choice of tools %s", (word, mode) => {
    expect(read({ tool_choice: word }).toolChoice).toMatchObject({
      choice: { case: "mode", value: mode },
      single: false,
    });
  });

  it("keeps what it has no place for under its own name", () => {
    const custom = { type: "custom", custom: { name: "c" } };
    const allowed = { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [] } };

    const input = read({
      logprobs: true,
      x_unknown: { kept: true },
      tools: [custom],
      tool_choice: allowed,
      messages: [{ role: "user", content: [{ type: "text", text: "a", mark: 1 }], audio: { id: "a1" } }],
    });

    expect(input.extras).toEqual({ logprobs: true, x_unknown: { kept: true }, tools: [custom], tool_choice: allowed });
    expect(input.messages[0]?.extras).toEqual({ audio: { id: "a1" } });
    expect(input.messages[0]?.blocks[0]?.extras).toEqual({ mark: 1 });
  });

  it("takes what says no more than the default for not said", () => {
    const input = read({
      logprobs: false,
      store: false,
      tools: [],
      frequency_penalty: 0,
      presence_penalty: 0,
      service_tier: "auto",
      parallel_tool_calls: true,
      response_format: { type: "text" },
      x_null: null,
    });

    expect(input.extras).toBeUndefined();
    expect(input.toolChoice).toBeUndefined();
    expect(input.sampling?.frequencyPenalty).toBeUndefined();
  });

  it.each<[string, object]>([
    ["temperature", { temperature: "hot" }],
    ["seed", { seed: 0.5 }],
    ["stop", { stop: [1] }],
    ["tool_choice", { tool_choice: "maybe" }],
    ["tools[0].function", { tools: [{ type: "function" }] }],
    ["tools[0].function.name", { tools: [{ type: "function", function: { name: "" } }] }],
    ["messages[0]", { messages: ["hi"] }],
    ["messages[0].role", { messages: [{ role: "function", content: "" }] }],
    ["messages[0].content", { messages: [{ role: "user", content: 1 }] }],
    ["messages[0].content[0].type", { messages: [{ role: "user", content: [{ type: "video" }] }] }],
    [
      "messages[0].content[0].image_url.url",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "file:///etc/passwd" } }] }] },
    ],
    [
      "messages[0].content[0].image_url.url",
      {
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,***" } }] }],
      },
    ],
    ["messages[0].tool_call_id", { messages: [{ role: "tool", content: "x" }] }],
  ])("refuses what is not as it should be: %s", (field, body) => {
    expect(() => read(body)).toThrow(
      expect.objectContaining({ reason: "ARGUMENT_INVALID", facts: expect.objectContaining({ field }) }),
    );
  });
});
