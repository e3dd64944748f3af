// A provider that we did not write: `@copilotkit/aimock` behind the router, the official `openai` client before it. What the
// scripted provider of the development mesh takes for granted about the wire format, a stranger checks here.
import { LLMock } from "@copilotkit/aimock";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";

let mesh: Mesh;
let mock: LLMock;
let client: OpenAI;

beforeAll(async () => {
  mock = new LLMock({ port: 0 });
  mock.onMessage("river", { content: "The river is four metres deep at the weir — höher im Mai. 🌊" });
  mock.onMessage("tool", { toolCalls: [{ name: "measure", arguments: '{"river":"Isar"}' }] });
  await mock.start();
  mesh = await startMesh({ name: "aimock", policy: createPolicy(`${mock.url}/v1`) });
  client = new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0 });
});

afterAll(async () => {
  await mesh?.stop();
  await mock?.stop();
});

function createPolicy(baseUrl: string): unknown {
  return {
    organisation: "demo",
    regions: [{ id: "eu" }, { id: "us" }],
    providers: [{ id: "stranger", dialect: "DIALECT_OPENAI", baseUrl, regions: ["eu", "us"] }],
    targets: [{ id: "stranger/gpt", provider: "stranger", model: "gpt-4o", prices: { input: "2.50", output: "10" } }],
    models: [{ id: "gpt", routes: [{ target: "stranger/gpt" }] }],
    organisations: [
      { id: "demo", teams: [{ id: "search", apps: [{ id: "assistant", environments: ["production"] }] }] },
    ],
  };
}

function ask(content: string) {
  return { model: "gpt", messages: [{ role: "user" as const, content }] };
}

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
