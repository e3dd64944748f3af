import type { JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Role, ToolChoiceMode } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import { composeTyped } from "../../providers/anthropic/typed-request.ts";
import type { TypedAsk } from "../../providers/dialect.ts";
import { MOST_CALL_VALUES } from "../most-call-values.ts";
import { readInput } from "./read-input.ts";

const read = (body: object | string) =>
  readInput(Buffer.from(typeof body === "string" ? body : JSON.stringify({ model: "m", max_tokens: 9, ...body })));
const HI = [{ role: "user", content: "hi" }];
const ASK: TypedAsk = {
  model: "m",
  streamed: false,
  maxOutputTokens: 9n,
  from: "messages",
  lose: (field, state) => {
    throw new Error(`lost ${field}: ${state}`);
  },
  leaveOut: (field) => {
    throw new Error(`left out ${field}`);
  },
};
const rewrite = (body: object | string) => JSON.parse(composeTyped(read(body), ASK).toString());

describe("readInput()", () => {
  it("refuses many values in few bytes before they become objects", () => {
    expect(() => read(`{"messages":[${"{},".repeat(MOST_CALL_VALUES)}{}]}`)).toThrow("more than 50000 values");
  });

  it("reads a conversation with tools, pictures, documents and thinking", () => {
    const { messages } = read({
      system: [{ type: "text", text: "be brief", cache_control: { type: "ephemeral" } }],
      messages: [
        {
          role: "user",
          content: [
            { type: "image", source: { type: "base64", media_type: "image/png", data: "cG5n" } },
            { type: "document", source: { type: "url", url: "https://x/y.pdf" }, title: "y", context: "c" },
          ],
        },
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "hm", signature: "sig==" },
            { type: "redacted_thinking", data: "zzz" },
            { type: "tool_use", id: "t1", name: "f", input: { a: 1 } },
          ],
        },
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: "t1", content: "no", is_error: true },
            { type: "text", text: "go on" },
          ],
        },
        { role: "system", content: "be quick" },
      ],
    });

    expect(messages.map(({ role }) => role)).toEqual([
      Role.SYSTEM,
      Role.USER,
      Role.ASSISTANT,
      Role.TOOL,
      Role.USER,
      Role.SYSTEM,
    ]);
    expect(messages[0]?.blocks[0]?.extras).toEqual({ cache_control: { type: "ephemeral" } });
    expect(messages[1]?.blocks[1]).toMatchObject({
      content: { case: "file", value: { source: { case: "url", value: "https://x/y.pdf" }, filename: "y" } },
      extras: { context: "c" },
    });
    expect(messages[2]?.blocks.map(({ content }) => content.value)).toMatchObject([
      { text: "hm", signature: "sig==" },
      { redacted: "zzz" },
      { id: "t1", name: "f", inputJson: '{"a":1}' },
    ]);
    expect(messages[3]?.blocks[0]?.content.value).toMatchObject({ toolUseId: "t1", failed: true });
  });

  it("reads everything else that can be asked", () => {
    const input = read({
      messages: HI,
      tools: [
        { name: "f", description: "d", input_schema: { type: "object" }, strict: true, defer_loading: true },
        { type: "web_search_20260318", name: "web_search", max_uses: 3 },
      ],
      tool_choice: { type: "any", disable_parallel_tool_use: true },
      thinking: { type: "enabled", budget_tokens: 1024, display: "omitted" },
      output_config: { effort: "low", format: { type: "json_schema", schema: { type: "object" } }, task_budget: 1 },
      metadata: { user_id: "u" },
      temperature: 0.5,
      top_k: 4,
      stop_sequences: ["x"],
      service_tier: "standard_only",
      context_management: { edits: [] },
    });

    expect(input).toMatchObject({
      tools: [
        {
          name: "f",
          description: "d",
          inputSchemaJson: '{"type":"object"}',
          strict: true,
          extras: { defer_loading: true },
        },
        { name: "web_search", inputSchemaJson: "", extras: { type: "web_search_20260318", max_uses: 3 } },
      ],
      toolChoice: { choice: { case: "mode", value: ToolChoiceMode.ANY }, single: true },
      reasoning: { effort: "low", maxTokens: 1024n },
      responseFormat: { form: { case: "jsonSchema", value: { schemaJson: '{"type":"object"}' } } },
      endUser: "u",
      sampling: { temperature: 0.5, topK: 4n, stopSequences: ["x"] },
      maxOutputTokens: 9n,
      extras: {
        thinking: { display: "omitted" },
        output_config: { task_budget: 1 },
        service_tier: "standard_only",
        context_management: { edits: [] },
      },
    });
  });

  it("leaves nothing over of a request that says nothing special", () => {
    expect(read({ messages: HI, stream: true, service_tier: "auto", system: "" }).extras).toBeUndefined();
  });

  it("refuses to go on with a conversation that a provider holds, and leaves over the wish to begin one", () => {
    const thread = { type: "continue", previous_message_id: "msg_1" };

    expect(() => read({ messages: HI, thread })).toThrow(
      expect.objectContaining({ facts: { field: "thread", error_code: "thread_not_found" } }),
    );
    expect(read({ messages: HI, thread: { type: "create" } }).extras).toEqual({ thread: { type: "create" } });
  });

  it("keeps the digits of a tool's input", () => {
    const body = `{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"id":12345678901234567890}}]}]}`;

    expect(read(body).messages[0]?.blocks[0]?.content.value).toMatchObject({
      inputJson: '{"id":12345678901234567890}',
    });
  });

  it.each([
    [{ messages: [{ role: "tool", content: "x" }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: [{ text: "x" }] }] }, "messages[0].content[0].type"],
    [{ messages: [{ role: "user", content: [{ type: "text" }] }] }, "messages[0].content[0].text"],
    [{ messages: [{ role: "user", content: [{ type: "image" }] }] }, "messages[0].content[0].source"],
    [
      {
        messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url: "file:///etc/passwd" } }] }],
      },
      "messages[0].content[0].source.url",
    ],
    [
      {
        messages: [
          { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: [{ type: "tool_result" }] }] },
        ],
      },
      "messages[0].content[0].content[0].type",
    ],
    [{ messages: HI, tools: [{ input_schema: {} }] }, "tools[0].name"],
    [{ messages: HI, tool_choice: { type: "some" } }, "tool_choice.type"],
    [{ messages: HI, thinking: { type: "enabled" } }, "thinking.budget_tokens"],
    [{ messages: HI, temperature: "hot" }, "temperature"],
    [{ messages: HI, system: 5 }, "system"],
    [{ messages: HI, stop_sequences: [5] }, "stop_sequences[0]"],
  ])("refuses %j and names %s", (body, field) => {
    expect(() => read(body)).toThrow(WeirError);
    try {
      read(body);
    } catch (error) {
      expect((error as WeirError).facts.field).toBe(field);
    }
  });
});

/** Whatever a block may carry besides. */
const MARKS = fc.option(fc.constantFrom<object>({ cache_control: { type: "ephemeral", ttl: "1h" } }), {
  nil: undefined,
});
const word = fc.string({ minLength: 1, maxLength: 12 });
const mark = <T extends object>(block: fc.Arbitrary<T>) =>
  fc.tuple(block, MARKS).map(([members, marks]) => ({ ...members, ...marks }));
const textBlock = mark(fc.record({ type: fc.constant("text"), text: word }));
const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
const base64 = fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes).toString("base64"));
const imageBlock = mark(
  fc.record({
    type: fc.constant("image"),
    source: fc.oneof(
      fc.record({ type: fc.constant("base64"), media_type: fc.constant("image/png"), data: base64 }),
      fc.record({ type: fc.constant("url"), url: fc.constant("https://example.com/a.png") }),
      fc.record({ type: fc.constant("file"), file_id: id }),
    ),
  }),
);
const documentBlock = mark(
  fc.record({
    type: fc.constant("document"),
    source: fc.oneof(
      fc.record({ type: fc.constant("base64"), media_type: fc.constant("application/pdf"), data: base64 }),
      fc.record({ type: fc.constant("text"), media_type: fc.constant("text/plain"), data: word }),
      fc.record({ type: fc.constant("content"), content: fc.array(textBlock, { minLength: 1 }) }),
    ),
    title: word,
  }),
);
const resultBlock = mark(
  fc.record({
    type: fc.constant("tool_result"),
    tool_use_id: id,
    content: fc.array(fc.oneof(textBlock, imageBlock, documentBlock), { minLength: 1, maxLength: 3 }),
    is_error: fc.constant(true),
  }),
);
const answerBlock = fc.oneof(
  textBlock,
  fc.record({ type: fc.constant("thinking"), thinking: fc.string(), signature: base64.filter((text) => text !== "") }),
  fc.record({ type: fc.constant("redacted_thinking"), data: base64.filter((text) => text !== "") }),
  mark(fc.record({ type: fc.constant("tool_use"), id, name: id, input: fc.dictionary(id, fc.jsonValue()) })),
  fc.record({
    type: fc.constant("server_tool_use"),
    id,
    name: fc.constant("web_search"),
    input: fc.dictionary(id, word),
  }),
);
const turn = fc.oneof(
  fc.record({
    role: fc.constant("user"),
    content: fc
      .tuple(
        fc.array(resultBlock, { maxLength: 2 }),
        fc.array(fc.oneof(textBlock, imageBlock, documentBlock), { maxLength: 3 }),
      )
      .map(([results, others]) => [...results, ...others])
      .filter((blocks) => blocks.length > 0),
  }),
  fc.record({ role: fc.constant("assistant"), content: fc.array(answerBlock, { minLength: 1, maxLength: 4 }) }),
);
const request = fc.record({
  model: fc.constant("m"),
  max_tokens: fc.integer({ min: 1, max: 9999 }),
  system: fc.array(textBlock, { minLength: 1, maxLength: 3 }),
  // A user's turn after results of tools belongs to them, so they alternate.
  messages: fc
    .array(turn, { minLength: 1, maxLength: 6 })
    .map((turns) => turns.filter((one, index) => index === 0 || one.role !== turns[index - 1]!.role)),
  tools: fc.array(
    fc.oneof(
      mark(fc.record({ name: id, description: word, input_schema: fc.constant({ type: "object", properties: {} }) })),
      fc.record({ type: fc.constant("bash_20250124"), name: fc.constant("bash") }),
    ),
    { minLength: 1, maxLength: 3 },
  ),
  tool_choice: fc.constantFrom<JsonValue>(
    { type: "auto" },
    { type: "none" },
    { type: "any", disable_parallel_tool_use: true },
    { type: "tool", name: "f" },
  ),
  thinking: fc.constantFrom<JsonValue>(
    { type: "disabled" },
    { type: "adaptive", display: "summarized" },
    { type: "enabled", budget_tokens: 2048 },
    { type: "between_tools" },
  ),
  output_config: fc.constantFrom<JsonValue>({ effort: "high" }, { effort: "max", task_budget: { total: 5 } }),
  metadata: fc.record({ user_id: id }),
  temperature: fc.double({ min: 0, max: 1, noNaN: true }),
  stop_sequences: fc.array(word, { minLength: 1, maxLength: 3 }),
  service_tier: fc.constant("standard_only"),
});

/** The same request in the one form that the codec writes: one plain text stands for itself. */
function simplify(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(simplify);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      const [only] = Array.isArray(member) ? member : [];
      const isPlain =
        (name === "system" || ("role" in value && name === "content")) && (member as JsonValue[]).length === 1;
      const block = only as { readonly type?: unknown; readonly text?: JsonValue } | undefined;
      if (isPlain && block?.type === "text" && Object.keys(block).length === 2) return [name, block.text!];
      return [name, simplify(member)];
    }),
  );
}

describe("readInput() and composeTyped()", () => {
  it("keep what a request says, there and back", () => {
    fc.assert(
      fc.property(request, (body) => {
        const given = JSON.parse(JSON.stringify(body)) as JsonValue;

        expect(rewrite(JSON.stringify(body))).toEqual(simplify(given));
      }),
      { numRuns: 300 },
    );
  });
});
