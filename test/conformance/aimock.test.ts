// A provider that we did not write: `@copilotkit/aimock` behind the router, the official `openai` client before it. What the
// scripted provider of the development mesh takes for granted about the wire format, a stranger checks here.
import Anthropic from "@anthropic-ai/sdk";
import { LLMock } from "@copilotkit/aimock";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";

let mesh: Mesh;
let mock: LLMock;
let client: OpenAI;

beforeAll(async () => {
  mock = new LLMock({ port: 0 });
  mock.on({ toolResultContains: "4 metres" }, { content: "It is four metres deep." });
  mock.onMessage("river", { content: "The river is four metres deep at the weir — höher im Mai. 🌊" });
  mock.onMessage("tool", { toolCalls: [{ name: "measure", arguments: '{"river":"Isar"}' }] });
  mock.onEmbedding("river", { embedding: [0.5, -0.25, 1] });
  await mock.start();
  mesh = await startMesh({ name: "aimock", policy: createPolicy(mock.url) });
  client = new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0 });
});

afterAll(async () => {
  await mesh?.stop();
  await mock?.stop();
});

/** The mock in each language that it speaks; the model "gpt" is the one of OpenAI. */
const DIALECTS = {
  gpt: { dialect: "DIALECT_OPENAI", path: "/v1", model: "gpt-4o" },
  azure: { dialect: "DIALECT_AZURE_OPENAI", path: "", model: "gpt-4o", apiVersion: "2024-10-21" },
  claude: { dialect: "DIALECT_ANTHROPIC", path: "/v1", model: "claude-sonnet-4-5" },
  gemini: { dialect: "DIALECT_GEMINI", path: "/v1beta", model: "gemini-2.5-flash" },
  bedrock: { dialect: "DIALECT_BEDROCK", path: "", model: "anthropic.claude-v4:0", cloudRegion: "eu-central-1" },
} as const;
const MODELS = Object.keys(DIALECTS);

function createPolicy(origin: string): unknown {
  const providers = Object.entries(DIALECTS).map(([id, { path, model: _model, ...settings }]) => ({
    id,
    baseUrl: `${origin}${path}`,
    regions: ["eu", "us"],
    ...settings,
  }));
  return {
    organisation: "demo",
    regions: [{ id: "eu" }, { id: "us" }],
    providers,
    targets: Object.entries(DIALECTS).map(([provider, { model }]) => ({
      id: `${provider}/target`,
      provider,
      model,
      prices: { input: "2.50", output: "10" },
    })),
    models: MODELS.map((id) => ({ id, routes: [{ target: `${id}/target` }] })),
    organisations: [
      { id: "demo", teams: [{ id: "search", apps: [{ id: "assistant", environments: ["production"] }] }] },
    ],
  };
}

function ask(content: string, model = "gpt") {
  return { model, messages: [{ role: "user" as const, content }] };
}

const DEPTH = "The river is four metres deep at the weir — höher im Mai. 🌊";
const MEASURE = { name: "measure", description: "Measures a river", parameters: { type: "object", properties: {} } };

describe("through a router, a stranger's provider", () => {
  it("answers a unary chat, byte for byte", async () => {
    const answer = await client.chat.completions.create(ask("How deep is the river?"));

    expect(answer.choices[0]?.message.content).toBe("The river is four metres deep at the weir — höher im Mai. 🌊");
    expect(answer.usage?.total_tokens).toBeGreaterThan(0);
  });

  it("gets the target's own model name and not the caller's", async () => {
    await client.chat.completions.create(ask("How deep is the river?"));

    expect(mock.getLastRequest()?.body).toMatchObject({ model: "gpt-4o" });
  });

  it("gets neither the caller's key nor its cookies", async () => {
    await client.chat.completions.create(ask("How deep is the river?"), { headers: { cookie: "crumbs" } });

    const headers = JSON.stringify(mock.getLastRequest()?.headers);
    expect(headers).not.toContain(mesh.key);
    expect(headers).not.toContain("crumbs");
  });

  it("streams, with usage only for who asked", async () => {
    const stream = await client.chat.completions.create({ ...ask("How deep is the river?"), stream: true });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);

    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    expect(text).toBe("The river is four metres deep at the weir — höher im Mai. 🌊");
    expect(chunks.filter((chunk) => chunk.usage || chunk.choices.length === 0)).toEqual([]);
    expect(mock.getLastRequest()?.body).toMatchObject({ stream_options: { include_usage: true } });
  });

  it("calls tools", async () => {
    const answer = await client.chat.completions.create({
      ...ask("Use the tool"),
      tools: [{ type: "function", function: { name: "measure", parameters: { type: "object" } } }],
    });

    expect(answer.choices[0]?.message.tool_calls?.[0]).toMatchObject({
      function: { name: "measure", arguments: '{"river":"Isar"}' },
    });
  });

  it("says that it fails, and the client hears it in its own error", async () => {
    mock.nextRequestError(503, { message: "overloaded", type: "server_error" });

    const error = await client.chat.completions
      .create(ask("How deep is the river?"))
      .catch((failure: unknown) => failure);

    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
  });
});

describe.each(MODELS)("a stranger's provider in the language of %s", (model) => {
  it("answers a chat, with usage that adds up", async () => {
    const answer = await client.chat.completions.create(ask("How deep is the river?", model));

    expect(answer.choices[0]).toMatchObject({ finish_reason: "stop", message: { role: "assistant", content: DEPTH } });
    const { prompt_tokens = 0, completion_tokens = 0, total_tokens } = answer.usage ?? {};
    expect(completion_tokens).toBeGreaterThan(0);
    expect(total_tokens).toBe(prompt_tokens + completion_tokens);
  });

  it("streams a chat to its end", async () => {
    const stream = client.chat.completions.stream(ask("How deep is the river?", model));

    expect(await stream.finalContent()).toBe(DEPTH);
  });

  it("calls a tool, in one piece and streamed", async () => {
    const asked = { ...ask("Use the tool", model), tools: [{ type: "function" as const, function: MEASURE }] };

    const whole = await client.chat.completions.create(asked);
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();

    for (const { choices } of [whole, streamed]) {
      expect(choices[0]?.finish_reason).toBe("tool_calls");
      const called = choices[0]?.message.tool_calls?.[0];
      expect(called?.type === "function" && called.function.name).toBe("measure");
      expect(called?.type === "function" && JSON.parse(called.function.arguments)).toEqual({ river: "Isar" });
    }
  });

  it("is asked again with what a tool said, by the client's own runner", async () => {
    const measured: unknown[] = [];
    const measure = {
      ...MEASURE,
      parse: JSON.parse,
      function: (input: object) => {
        measured.push(input);
        return "4 metres";
      },
    };

    const runner = client.chat.completions.runTools({
      ...ask("Use the tool", model),
      tools: [{ type: "function", function: measure }],
    });

    expect(await runner.finalContent()).toBe("It is four metres deep.");
    expect(measured).toEqual([{ river: "Isar" }]);
  });

  it("answers callers of responses and of messages", async () => {
    const response = await client.responses.create({ model, input: "How deep is the river?" });
    const anthropic = new Anthropic({
      authToken: mesh.key,
      apiKey: null,
      baseURL: mesh.routerUrl("eu"),
      maxRetries: 0,
    });
    const message = await anthropic.messages
      .stream({ model, max_tokens: 100, messages: [{ role: "user", content: "How deep is the river?" }] })
      .finalMessage();

    expect(response.output_text).toBe(DEPTH);
    expect(message).toMatchObject({ stop_reason: "end_turn", content: [{ type: "text", text: DEPTH }] });
  });
});

describe.each(["gpt", "azure"])("a stranger's embeddings in the language of %s", (model) => {
  it("come as they are", async () => {
    const { data, usage } = await client.embeddings.create({ model, input: "a river", encoding_format: "float" });

    expect(data.map(({ embedding }) => embedding)).toEqual([[0.5, -0.25, 1]]);
    expect(usage.total_tokens).toBeGreaterThanOrEqual(0);
  });
});
