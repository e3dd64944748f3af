import { describe, expect, it } from "vitest";
import { createPrompt, PROMPT_SIZES } from "./prompts.ts";

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

  it("what the provider is told stands in the metadata", () => {
    const prompt = createPrompt({ bytes: 400, stream: true, provider: "events=8" });
    expect(JSON.parse(prompt.toString())).toMatchObject({ stream: true, metadata: { bench: "events=8" } });
  });
});
