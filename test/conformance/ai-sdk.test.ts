// The Vercel AI SDK against a router, with its providers as they come, but for the base URL and the key.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";
import { createConformancePolicy, MODELS } from "./policy.ts";
import { TEXT_PIECES } from "./provider/answer.ts";
import { type Command, writeCommand } from "./provider/command.ts";
import { type ConformanceProvider, startConformanceProvider } from "./provider/provider.ts";

const TEXT = TEXT_PIECES.join("");

let provider: ConformanceProvider;
let mesh: Mesh;

beforeAll(async () => {
  provider = await startConformanceProvider();
  mesh = await startMesh({ name: "ai-sdk", policy: createConformancePolicy(provider.address) });
});

afterAll(async () => {
  await mesh?.stop();
  await provider?.close();
});

/** The SDK's ways to ask: its name for each, and how to make a model of it. */
const WAYS = [
  ["openai.responses", (id: string) => openai().responses(id)],
  ["openai.chat", (id: string) => openai().chat(id)],
  ["anthropic.messages", (id: string) => createAnthropic(settings()).languageModel(id)],
] as const;

function openai() {
  return createOpenAI(settings());
}

function settings() {
  return { apiKey: mesh.key, baseURL: `${mesh.routerUrl("eu")}/v1` };
}

const CASES = WAYS.flatMap(([way, create]) => Object.values(MODELS).map((id) => [way, id, create] as const));

function ask(command: Partial<Command> = {}): string {
  return `How deep is the river? ${writeCommand(command)}`;
}

const inputSchema = jsonSchema<Record<string, unknown>>({ type: "object", properties: {} });
const tools = {
  lookup: tool({ description: "Looks up", inputSchema, execute: () => "4 metres" }),
  measure: tool({ description: "Measures", inputSchema, execute: () => "4 metres" }),
};

describe.each(CASES)("%s of model %s", (_way, id, create) => {
  it("generates text, and tells usage and reason", async () => {
    const { text, usage, finishReason } = await generateText({ model: create(id), prompt: ask(), maxRetries: 0 });

    expect(text).toBe(TEXT);
    expect(finishReason).toBe("stop");
    expect(usage).toMatchObject({ inputTokens: 16, outputTokens: 7 });
  });

  it("streams text, and tells usage and reason", async () => {
    const parts: string[] = [];
    const result = streamText({ model: create(id), prompt: ask(), maxRetries: 0 });
    for await (const part of result.textStream) parts.push(part);

    expect(parts.join("")).toBe(TEXT);
    expect(parts.length).toBeGreaterThan(1);
    expect(await result.finishReason).toBe("stop");
    expect(await result.usage).toMatchObject({ inputTokens: 16, outputTokens: 7 });
  });

  it("has tools called and takes their results", async () => {
    const { toolCalls, toolResults } = await generateText({
      model: create(id),
      prompt: ask({ answer: "tools" }),
      tools,
      maxRetries: 0,
    });

    expect(toolCalls.map(({ toolName, input }) => [toolName, input])).toEqual([
      ["lookup", { question: "how deep — 🌊" }],
      ["measure", { metres: 4 }],
    ]);
    expect(toolResults.map(({ output }) => output)).toEqual(["4 metres", "4 metres"]);
  });

  it("goes on after tools, in steps", async () => {
    let step = 0;
    const { steps, text } = await generateText({
      model: create(id),
      messages: [{ role: "user", content: ask({ answer: "tool" }) }],
      tools,
      stopWhen: stepCountIs(2),
      // The provider answers the newest command: a tool first, and then a text.
      prepareStep: ({ messages }) => {
        step += 1;
        return step === 1 ? {} : { messages: [...messages, { role: "user", content: ask() }] };
      },
      maxRetries: 0,
    });

    expect(steps).toHaveLength(2);
    expect(text).toBe(TEXT);
    expect(provider.calls.at(-1)?.asked.turns.map(({ kind }) => kind)).toEqual([
      "user",
      "tool use",
      "tool result",
      "user",
    ]);
  });

  it("fails when a stream breaks", async () => {
    const errors: unknown[] = [];
    const result = streamText({
      model: create(id),
      prompt: ask({ fault: "cut", events: 2 }),
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    });
    await result.consumeStream();

    expect(errors).not.toEqual([]);
  });

  it("fails when the provider does", async () => {
    const prompt = ask({ fault: "status", status: 500 });

    await expect(generateText({ model: create(id), prompt, maxRetries: 0 })).rejects.toMatchObject({ statusCode: 502 });
  });
});
