// The conformance provider against strangers' eyes: the official client where there is one, else the rules of each wire format.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { composeAnswer, OPENAI_BEGINNING, SIGNATURE, TEXT_PIECES } from "./answer.ts";
import { chatCompletions } from "./chat-completions.ts";
import { findCommand, NO_FAULT, writeCommand } from "./command.ts";
import { converse } from "./converse.ts";
import { generateContent } from "./generate-content.ts";
import type { Language } from "./language.ts";
import { messages } from "./messages.ts";
import { layOut } from "./perform.ts";
import { type ConformanceProvider, startConformanceProvider } from "./provider.ts";
import { responses } from "./responses.ts";

let provider: ConformanceProvider;
let client: OpenAI;

beforeAll(async () => {
  provider = await startConformanceProvider();
  client = new OpenAI({ baseURL: `${provider.address}/v1`, apiKey: "none", maxRetries: 0 });
});

afterAll(() => provider.close());

const say = (command: Parameters<typeof writeCommand>[0]) => ({
  model: "scripted",
  messages: [{ role: "user" as const, content: `How deep? ${writeCommand(command)}` }],
});

function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  const init = { "content-type": "application/json", ...headers };
  return fetch(`${provider.address}${path}`, { method: "POST", headers: init, body: JSON.stringify(body) });
}

describe("commands", () => {
  it("come back as they were written", () => {
    const command = { fault: "status", status: 429, retryAfterS: 7, answer: "tools", id: "a-7" } as const;

    expect(findCommand(JSON.stringify({ text: writeCommand(command) }))).toEqual({ ...NO_FAULT, ...command });
  });

  it("of an earlier turn do not hold", () => {
    expect(findCommand(`${writeCommand({ fault: "cut" })} … ${writeCommand({ answer: "tool" })}`)).toMatchObject({
      fault: "none",
      answer: "tool",
    });
  });

  it("with a slip in them are refused", async () => {
    const response = await post("/v1/chat/completions", { model: "m", messages: [{ content: "[[fault kind=cutt]]" }] });

    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining('kind is "cutt"')]);
  });
});

describe("the official OpenAI client", () => {
  it("reads a stream with text, stop and usage", async () => {
    const stream = client.chat.completions.stream({ ...say({}), stream_options: { include_usage: true } });
    const completion = await stream.finalChatCompletion();

    expect(completion.choices[0]?.message.content).toBe(TEXT_PIECES.join(""));
    expect(completion.choices[0]?.finish_reason).toBe("stop");
    expect(completion.usage).toMatchObject({ prompt_tokens: 16, completion_tokens: 7 });
  });

  it("reads parallel calls of tools, of two candidates", async () => {
    const stream = client.chat.completions.stream({ ...say({ answer: "tools" }), n: 2 });
    const { choices } = await stream.finalChatCompletion();

    expect(choices).toHaveLength(2);
    expect(choices[1]?.message.tool_calls).toMatchObject([
      { id: "call_one", function: { name: "lookup", arguments: '{"question":"how deep — 🌊"}' } },
      { id: "call_two", function: { name: "measure", arguments: '{"metres":4}' } },
    ]);
  });

  it("reads a stream of responses with reasoning", async () => {
    const input = `How deep? ${writeCommand({ answer: "reasoning" })}`;
    const response = await client.responses.stream({ model: "scripted", input }).finalResponse();

    expect(response.output_text).toBe(TEXT_PIECES.join(""));
    expect(response.output[0]).toMatchObject({ type: "reasoning", encrypted_content: OPENAI_BEGINNING + SIGNATURE });
    expect(response.usage).toMatchObject({ input_tokens: 16, output_tokens: 11 });
  });

  it("reads embeddings", async () => {
    const { data } = await client.embeddings.create({ model: "scripted", input: ["a".repeat(512), "b"] });

    expect(data.map(({ embedding }) => embedding[0])).toEqual([0.5, 1 / 1024]);
  });

  it("raises an error within a stream", async () => {
    const stream = client.chat.completions.stream(say({ fault: "error" }));

    await expect(stream.finalChatCompletion()).rejects.toThrow("The server had an error");
  });
});

describe("the official Anthropic client", () => {
  const anthropic = () => new Anthropic({ baseURL: provider.address, apiKey: "none", maxRetries: 0 });
  const ask = (command: Parameters<typeof say>[0]) =>
    anthropic()
      .messages.stream({ ...say(command), max_tokens: 500 })
      .finalMessage();

  it("reads a stream with parallel tools, stop and usage", async () => {
    const { content, stop_reason, usage } = await ask({ answer: "tools" });

    expect(content).toMatchObject([
      { type: "text", text: "Let me look." },
      { type: "tool_use", name: "lookup", input: { question: "how deep — 🌊" } },
      { type: "tool_use", name: "measure", input: { metres: 4 } },
    ]);
    expect(stop_reason).toBe("tool_use");
    expect(usage).toMatchObject({ input_tokens: 11, cache_read_input_tokens: 5, output_tokens: 7 });
  });

  it("reads reasoning with its signature", async () => {
    const { content } = await ask({ answer: "reasoning" });

    expect(content[0]).toMatchObject({ type: "thinking", thinking: "Water is deep.", signature: SIGNATURE });
  });

  it("counts tokens", async () => {
    const { model, messages: asked } = say({});

    expect(await anthropic().messages.countTokens({ model, messages: asked })).toEqual({ input_tokens: 16 });
  });

  it("raises an error within a stream", async () => {
    await expect(ask({ fault: "error" })).rejects.toThrow("Overloaded");
  });
});

describe("what a real provider refuses", () => {
  it.each([
    ["/v1/messages", { model: "m", max_tokens: 9, messages: [{ role: "user", content: "x" }] }, "anthropic-version"],
    ["/v1beta/models/m:generateContent", { contents: [{ parts: [] }], stream_options: {} }, "Unknown name"],
    ["/model/m/converse", { messages: [{ role: "assistant", content: [{ text: "x" }] }] }, "must start with a user"],
    ["/openai/deployments/m/chat/completions", { messages: [{ role: "user", content: "x" }] }, "api-version"],
    ["/v1/chat/completions", { model: "m", messages: [{ role: "tool", tool_call_id: "x" }] }, "answers no tool use"],
  ])("%s", async (path, body, complaint) => {
    const response = await post(path, body, { authorization: "Bearer key" });

    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining(complaint)]);
  });
});

it("a call of Bedrock whose signature does not match is refused", async () => {
  const authorization = `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/eu-central-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=${"0".repeat(64)}`;
  const body = { messages: [{ role: "user", content: [{ text: "x" }] }] };
  const response = await post("/model/m/converse", body, { authorization, "x-amz-date": "20261128T000000Z" });

  expect([response.status, await response.text()]).toEqual([403, expect.stringContaining("does not match")]);
});

describe("a cut", () => {
  it("comes after exactly as many bytes as were said", async () => {
    const response = await post("/v1/chat/completions", { ...say({ fault: "cut", bytes: 300 }), stream: true });
    let bytes = 0;
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) bytes += chunk.length;
    })();

    await expect(reading).rejects.toThrow();
    expect(bytes).toBe(300);
  });

  it("can be put before and after the content and the mark of each stream", () => {
    const asked = {
      model: "m",
      streamed: true,
      candidates: 1,
      wantsUsage: true,
      complaint: undefined,
      turns: [],
    };
    const answer = composeAnswer(NO_FAULT, { model: "m", candidates: 1, id: "x", nowMs: 0 });
    const languages: Language[] = [chatCompletions, responses, messages, generateContent, converse];
    const layouts = languages.map((language) => layOut(language, answer, asked));

    for (const { bytes, contentAt, wholeAt } of layouts) {
      expect(wholeAt).toBeGreaterThan(contentAt);
      expect(bytes.length - wholeAt).toBeLessThanOrEqual(4);
      expect(bytes.subarray(0, contentAt).includes("The weir")).toBe(false);
      expect(bytes.subarray(contentAt).includes("The weir")).toBe(true);
    }
  });
});

describe("callers who leave", () => {
  it.each(["never", "stall"] as const)("are counted while it is silent (%s)", async (fault) => {
    const before = provider.left;
    const taken = provider.taken;
    const abort = new AbortController();
    const asking = fetch(`${provider.address}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ ...say({ fault, id: `left-${fault}` }), stream: true }),
      signal: abort.signal,
    }).catch(() => undefined);
    await provider.whenTaken(taken + 1);
    abort.abort();
    await asking;
    await provider.whenLeft(before + 1);

    expect(provider.find(`left-${fault}`).map(({ state }) => state)).toEqual(["left"]);
  });

  it("are not counted when the provider itself broke the connection", async () => {
    const before = provider.left;
    const response = await post("/v1/chat/completions", { ...say({ fault: "cut", id: "own" }), stream: true });
    await expect(response.text()).rejects.toThrow();

    expect(provider.left).toBe(before);
    expect(provider.find("own").map(({ state }) => state)).toEqual(["broken"]);
  });
});
