// The official `@anthropic-ai/sdk` client against a router: what its users do, with nothing changed but the base URL and the key. Each
// claim is shown with a provider of the same format, whose bytes are relayed, and with one of OpenAI's, whose answers are translated.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";
import { changePolicy, publishPolicy } from "../policies.ts";
import { SIGNATURE, TEXT_PIECES } from "./provider/answer.ts";
import { type Command, writeCommand } from "./provider/command.ts";
import { type ConformanceProvider, startConformanceProvider } from "./provider/provider.ts";

const DIALECTS = ["ANTHROPIC", "OPENAI"] as const;
type Name = (typeof DIALECTS)[number];
/** Each has a target of its own, since a router leaves alone for a while who fails. */
const FAILURES = [400, 401, 429, 500, "cut", "end", "error", "malformed"] as const;
const TEXT = TEXT_PIECES.join("");

let provider: ConformanceProvider;
let mesh: Mesh;
let client: Anthropic;

beforeAll(async () => {
  provider = await startConformanceProvider();
  mesh = await startMesh({ name: "anthropic-client" });
  const policy = changePolicy(mesh, (changed) => {
    for (const name of DIALECTS) {
      const id = name.toLowerCase();
      const settings = { dialect: `DIALECT_${name}`, inexpressible: "INEXPRESSIBLE_DROP" };
      changed.providers.push({ id, baseUrl: `${provider.address}/v1`, regions: ["eu"], ...settings });
      const prices = { input: "1", output: "2" };
      for (const place of ["model", ...FAILURES]) {
        changed.targets.push({
          id: `${id}/${place}`,
          provider: id,
          model: "model",
          ...{ prices, maxOutputTokens: "4096" },
        } as never);
        const model = place === "model" ? name : `${name}-${place}`;
        changed.models.push({ id: model, routes: [{ target: `${id}/${place}` }] });
      }
    }
  });
  await publishPolicy(mesh, policy);
  await mesh.waitCurrent();
  client = createClient(mesh.key);
});

afterAll(async () => {
  await mesh?.stop();
  await provider?.close();
});

/** A client that does not try again: each test sees the first answer. */
function createClient(apiKey: string): Anthropic {
  return new Anthropic({ apiKey, baseURL: mesh.routerUrl("eu"), maxRetries: 0, timeout: 10_000 });
}

const ask = (model: string, command: Partial<Command> = {}) => ({
  model,
  max_tokens: 100,
  messages: [{ role: "user" as const, content: `How deep is the river? ${writeCommand(command)}` }],
});
const LOOKUP = {
  name: "lookup",
  description: "Looks something up",
  input_schema: { type: "object" as const, properties: { question: { type: "string" as const } } },
};

async function failureOf(call: PromiseLike<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> {
  return call.then(
    () => Promise.reject(new Error("Cannot find a failure: the call succeeded")),
    (error: unknown) => error as InstanceType<typeof Anthropic.APIError>,
  );
}

describe.each(DIALECTS)("with a provider that speaks %s", (name: Name) => {
  it("a message has content, a reason to stop, and usage with cached tokens apart", async () => {
    const { data, response } = await client.messages.create({ ...ask(name), system: "Be brief." }).withResponse();

    expect(data).toMatchObject({ type: "message", role: "assistant", stop_reason: "end_turn" });
    expect(data.content).toMatchObject([{ type: "text", text: TEXT }]);
    expect(data.usage).toMatchObject({ input_tokens: 11, cache_read_input_tokens: 5, output_tokens: 7 });
    expect(response.headers.get("request-id")).toMatch(/^[0-9a-f]{8}-/);
    expect(response.headers.get("x-weir-target")).toBe(`${name.toLowerCase()}/model`);
  });

  it("a stream is put together by the client's own helper", async () => {
    const stream = client.messages.stream(ask(name));
    const pieces: string[] = [];
    stream.on("text", (text) => pieces.push(text));

    const message = await stream.finalMessage();

    expect(pieces.join("")).toBe(TEXT);
    expect(message.content).toMatchObject([{ type: "text", text: TEXT }]);
    expect(message).toMatchObject({ stop_reason: "end_turn", usage: { input_tokens: 11, output_tokens: 7 } });
  });

  it("parallel tools come with their inputs, streamed and not", async () => {
    const asked = { ...ask(name, { answer: "tools" }), tools: [LOOKUP, { ...LOOKUP, name: "measure" }] };

    const whole = await client.messages.create(asked);
    const streamed = await client.messages.stream(asked).finalMessage();

    for (const { content, stop_reason } of [whole, streamed]) {
      expect(stop_reason).toBe("tool_use");
      expect(content).toMatchObject([
        { type: "text", text: "Let me look." },
        { type: "tool_use", name: "lookup", input: { question: "how deep — 🌊" } },
        { type: "tool_use", name: "measure", input: { metres: 4 } },
      ]);
    }
  });

  it("a conversation goes on with what a tool answered", async () => {
    const asked = { ...ask(name, { answer: "tool" }), tools: [LOOKUP] };

    const { content } = await client.messages.create(asked);
    const use = content.find((block) => block.type === "tool_use");
    const text = `Four metres. ${writeCommand({ answer: "text" })}`;
    const result = { type: "tool_result" as const, tool_use_id: use?.id ?? "", content: text };
    const next = await client.messages.create({
      ...asked,
      messages: [...asked.messages, { role: "assistant", content }, { role: "user", content: [result] }],
    });

    expect(next.content).toMatchObject([{ type: "text", text: TEXT }]);
  });

  it("reasoning is thinking, and goes back to its provider", async () => {
    const asked = { ...ask(name, { answer: "reasoning" }), thinking: { type: "enabled" as const, budget_tokens: 50 } };

    const { content } = await client.messages.stream(asked).finalMessage();
    const next = await client.messages.create({
      ...asked,
      messages: [...asked.messages, { role: "assistant", content }, ...ask(name).messages],
    });

    expect(content[0]).toMatchObject({ type: "thinking", thinking: expect.stringMatching(/./) });
    if (name === "ANTHROPIC") expect(content[0]).toMatchObject({ signature: SIGNATURE });
    expect(next.content).toMatchObject([{ type: "text", text: TEXT }]);
  });

  it.each(["cut", "end", "error", "malformed"] as const)(
    "a stream with the fault %s ends with an error",
    async (fault) => {
      const stream = client.messages.stream(ask(`${name}-${fault}`, { fault }));

      expect(await failureOf(stream.finalMessage())).toBeInstanceOf(Anthropic.AnthropicError);
    },
  );

  it.each([
    [400, Anthropic.BadRequestError, 400],
    [401, Anthropic.InternalServerError, 502],
    [429, Anthropic.RateLimitError, 429],
    [500, Anthropic.InternalServerError, 502],
  ] satisfies [(typeof FAILURES)[number] & number, unknown, number][])(
    "a provider's status %i is the client's own error",
    async (status, Class, seen) => {
      const error = await failureOf(client.messages.create(ask(`${name}-${status}`, { fault: "status", status })));

      expect(error).toBeInstanceOf(Class);
      expect(error.status).toBe(seen);
      expect(error.requestID).toMatch(/./);
    },
  );

  it("tokens are counted", async () => {
    const { max_tokens: _, ...asked } = ask(name);

    const { input_tokens } = await client.messages.countTokens(asked);

    expect(input_tokens).toBeGreaterThan(0);
  });
});

describe("the tool runner", () => {
  it("sends the whole conversation where its provider holds none, and comes to an end", async () => {
    const asked: unknown[] = [];
    const tool = betaTool({
      name: "lookup",
      description: "Looks something up",
      inputSchema: LOOKUP.input_schema,
      run: (input) => {
        asked.push(input);
        // The provider answers to the last command that it finds.
        return `Four metres. ${writeCommand({ answer: "text" })}`;
      },
    });

    const message = await client.beta.messages.toolRunner({ ...ask("OPENAI", { answer: "tool" }), tools: [tool] });

    expect(asked).toEqual([{ question: "how deep — 🌊" }]);
    expect(message.content).toMatchObject([{ type: "text", text: TEXT }]);
  });
});

describe("errors of the router", () => {
  it.each([
    ["an unknown model", { model: "no-such-model" }, Anthropic.NotFoundError, "not_found_error"],
    ["no messages", { messages: "hello" as never }, Anthropic.BadRequestError, "invalid_request_error"],
  ])("%s is the client's own error", async (_, change, Class, type) => {
    const error = await failureOf(client.messages.create({ ...ask("ANTHROPIC"), ...change }));

    expect(error).toBeInstanceOf(Class);
    expect(error.type).toBe(type);
  });

  it("a key that nobody made is an AuthenticationError that does not repeat it", async () => {
    const key = `weir_production_aaaaaaaaaaaa_${"A".repeat(43)}_000000`;

    const error = await failureOf(createClient(key).messages.create(ask("ANTHROPIC")));

    expect(error).toBeInstanceOf(Anthropic.AuthenticationError);
    expect(error.message).not.toContain(key);
  });

  it("an endpoint that is not served says so in the client's form", async () => {
    const error = await failureOf(client.messages.batches.create({ requests: [] }));

    expect(error.errorCode).toBe("not_served");
  });
});

describe("models", () => {
  it("are listed as the client reads them", async () => {
    const ids: string[] = [];
    for await (const model of client.models.list({ limit: 1000 })) ids.push(model.id);

    expect(ids).toEqual(expect.arrayContaining([...DIALECTS]));
  });
});
