import { describe, expect, it } from "vitest";
import { createPrompt, PROMPT_SIZES, type WireFormat } from "./prompts.ts";

describe("prompts", () => {
  it.each(PROMPT_SIZES)("a prompt of %s KB is valid JSON of about that size", (_, bytes) => {
    const prompt = createPrompt({ bytes });
    expect(prompt.length).toBeGreaterThan(bytes - 100);
    expect(prompt.length).toBeLessThanOrEqual(bytes + 100);
    const { messages } = JSON.parse(prompt.toString()) as { messages: { role: string; content: string }[] };
    expect(messages.every(({ role, content }) => role !== "" && content.length > 0)).toBe(true);
  });

  it("the same options give the same bytes", () => {
    expect(createPrompt({ bytes: 4_500, stream: true })).toEqual(createPrompt({ bytes: 4_500, stream: true }));
  });

  it("a prompt of another format has its words, the same turns, and about that size", () => {
    const bytes = 4_500;
    const read = (format: WireFormat) =>
      JSON.parse(createPrompt({ bytes, format, stream: true, provider: "events=8" }).toString()) as object;

    expect(read("messages")).toMatchObject({
      model: "small",
      system: expect.any(String),
      max_tokens: expect.any(Number),
      messages: [{ role: "user" }, { role: "assistant" }, { role: "user" }],
      stream: true,
      metadata: { bench: "events=8" },
    });
    expect(read("responses")).toMatchObject({ instructions: expect.any(String), input: [{ role: "user" }, {}, {}] });
    expect(read("embeddings")).toEqual({
      model: "small",
      input: Array(3).fill(expect.any(String)),
      metadata: expect.anything(),
    });
    for (const format of ["messages", "responses", "embeddings"] as const) {
      expect(Math.abs(createPrompt({ bytes, format }).length - bytes)).toBeLessThanOrEqual(100);
    }
  });

  it("what the provider is told stands in the metadata", () => {
    const prompt = createPrompt({ bytes: 400, stream: true, provider: "events=8" });
    expect(JSON.parse(prompt.toString())).toMatchObject({ stream: true, metadata: { bench: "events=8" } });
  });
});
