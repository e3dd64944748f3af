import { describe, expect, it } from "vitest";
import { keepAnswerText, keepRequestText } from "./text-of.ts";

const request = (body: object) => {
  const { text, images } = keepRequestText(Buffer.from(JSON.stringify(body)));
  return { images, lines: Buffer.from(text.handOver()).toString().split("\\n").slice(0, -1) };
};
const answer = (body: object) => Buffer.from(keepAnswerText(Buffer.from(JSON.stringify(body))).handOver()).toString();

const PNG = `iVBORw0KGgo${"A1+/".repeat(1000)}`;

describe("keepRequestText()", () => {
  it("keeps what is said to a model, a line for each string, and not the names of fields", () => {
    const messages = [
      { role: "user", content: "Hi" },
      { role: "tool", tool_call_id: "call_1", content: [{ text: "18 degrees" }] },
    ];

    expect(request({ model: "m", system: "Be brief", messages, user: "u" }).lines).toEqual([
      "Be brief",
      "user",
      "Hi",
      "tool",
      "18 degrees",
    ]);
  });

  it("keeps the names within the schemas of tools", () => {
    const tools = [{ name: "weather", input_schema: { properties: { city: { type: "string" } } } }];

    expect(request({ tools }).lines).toEqual([
      "name",
      "weather",
      "input_schema",
      "properties",
      "city",
      "type",
      "string",
    ]);
  });

  it.each([
    ["a data URL", `data:image/png;base64,${PNG}`],
    ["base64", PNG],
  ])("counts an image as one, as %s", (_, image) => {
    expect(request({ messages: [{ content: [{ image }, { text: "What is it?" }] }] })).toEqual({
      images: 1,
      lines: ["What is it?"],
    });
  });

  it("takes a text that begins like an image for the text that it is", () => {
    const text = `data:image/png;base64,${"write me a story ".repeat(200)}`;

    expect(request({ messages: [{ content: text }] })).toEqual({ images: 0, lines: [text] });
  });

  it("keeps nothing of items that are tokens already", () => {
    expect(request({ model: "m", input: [[1, 2, 3]], encoding_format: "float" }).lines).toEqual([]);
  });

  it("keeps the text of a body that is cut off", () => {
    const { text } = keepRequestText(Buffer.from('{"messages":[{"content":"whole"},{"content":"cut o'));

    expect(Buffer.from(text.handOver()).toString()).toBe("whole\\n");
  });
});

describe("keepAnswerText()", () => {
  it.each([
    [
      "chat completions",
      {
        id: "c",
        model: "m",
        choices: [
          {
            message: {
              role: "assistant",
              content: "text",
              reasoning: " thought",
              tool_calls: [{ id: "t", type: "function", function: { name: " tool", arguments: "{}" } }],
            },
            finish_reason: "stop",
            logprobs: { content: [{ token: "text" }] },
          },
        ],
      },
      "text thought tool{}",
    ],
    [
      "messages",
      {
        content: [
          { type: "thinking", thinking: "thought ", signature: "c2ln" },
          { type: "text", text: "text" },
        ],
      },
      "thought text",
    ],
    [
      "responses",
      {
        instructions: "be",
        tools: [{ name: "no" }],
        output: [{ type: "message", content: [{ type: "t", text: "text" }] }],
      },
      "text",
    ],
    ["generate-content", { candidates: [{ content: { parts: [{ text: "text" }] }, finishReason: "STOP" }] }, "text"],
    [
      "converse",
      { output: { message: { role: "assistant", content: [{ text: "text" }] } }, stopReason: "end" },
      "text",
    ],
  ])("keeps what an answer of %s says", (_, body, text) => {
    expect(answer(body)).toBe(text);
  });
});
