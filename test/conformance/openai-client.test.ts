// The official `openai` client against a router: what its users do, with nothing changed but the base URL and the key.
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";

const MESSAGES = [{ role: "user" as const, content: "How deep is the river?" }];

let mesh: Mesh;
let client: OpenAI;

beforeAll(async () => {
  mesh = await startMesh({ name: "openai-client" });
  client = createClient(mesh.key);
});

afterAll(() => mesh?.stop());

/** A client that does not try again: each test sees the first answer. */
function createClient(apiKey: string): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0, timeout: 10_000 });
}

async function failureOf(call: PromiseLike<unknown>): Promise<unknown> {
  return call.then(
    () => Promise.reject(new Error("Cannot find a failure: the call succeeded")),
    (error: unknown) => error,
  );
}

/** Waits until the provider has ended its latest call of a model, and says how. */
async function waitForEnd(model: string): Promise<unknown> {
  return vi.waitFor(
    async () => {
      const call = (await mesh.bill()).calls.findLast((each) => each.model === model);
      expect(call?.status).not.toBe("running");
      return call?.status;
    },
    { timeout: 20_000, interval: 50 },
  );
}

describe("a unary chat", () => {
  it("gives content, usage and a reason to stop", async () => {
    const answer = await client.chat.completions.create({ model: "small", messages: MESSAGES });

    expect(answer.object).toBe("chat.completion");
    expect(answer.choices).toMatchObject([{ index: 0, finish_reason: "stop", message: { role: "assistant" } }]);
    expect(answer.choices[0]?.message.content).toMatch(/^This is a scripted answer/);
    expect(answer.usage?.total_tokens).toBe(answer.usage!.prompt_tokens + answer.usage!.completion_tokens);
    expect(answer.usage?.completion_tokens).toBeGreaterThan(0);
  });

  it("tells request id, versions and target in headers", async () => {
    const { response } = await client.chat.completions.create({ model: "small", messages: MESSAGES }).withResponse();

    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(response.headers.get("x-weir-target")).toMatch(/^scripted-eu\//);
    expect(Number(response.headers.get("x-weir-snapshot"))).toBeGreaterThan(0);
    expect(Number(response.headers.get("x-weir-keyring"))).toBeGreaterThan(0);
  });

  it("carries tool calls", async () => {
    const answer = await client.chat.completions.create({
      model: "scripted-tools",
      messages: MESSAGES,
      tools: [{ type: "function", function: { name: "measure", parameters: { type: "object" } } }],
    });

    expect(answer.choices[0]?.finish_reason).toBe("tool_calls");
    expect(answer.choices[0]?.message.tool_calls).toMatchObject([{ type: "function", function: { name: "measure" } }]);
  });
});

describe("a streamed chat", () => {
  it("gives the pieces of one answer, with one id, and no usage that was not asked for", async () => {
    const stream = await client.chat.completions.create({ model: "large", messages: MESSAGES, stream: true });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);

    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    expect(text).toMatch(/^This is a scripted answer piece-1 .*piece-7$/);
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
    expect(chunks.filter((chunk) => chunk.choices.length === 0)).toEqual([]);
    expect(chunks.filter((chunk) => chunk.usage)).toEqual([]);
    expect(chunks.findLast((chunk) => chunk.choices[0]?.finish_reason)?.choices[0]?.finish_reason).toBe("stop");
  });

  it("ends with usage when that was asked for", async () => {
    const stream = await client.chat.completions.create({
      model: "small",
      messages: MESSAGES,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);

    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(chunks.at(-1)?.usage?.total_tokens).toBeGreaterThan(0);
  });

  it("is put together by the client's own helper", async () => {
    const stream = client.chat.completions.stream({ model: "small", messages: MESSAGES });

    const answer = await stream.finalChatCompletion();

    expect(answer.choices[0]?.message.content).toBe("This is a scripted answer piece-1 piece-2");
  });

  it.each(["scripted-cut", "scripted-stream-error", "scripted-end-early", "scripted-malformed"])(
    "of %s breaks with an error and not with what looks like an end",
    async (model) => {
      const stream = await client.chat.completions.create({ model, messages: MESSAGES, stream: true });
      const read = (async () => {
        for await (const chunk of stream) void chunk;
      })();

      expect(await failureOf(read)).toBeInstanceOf(OpenAI.APIError);
    },
  );
});

describe("errors", () => {
  it.each([
    ["an unknown model", { model: "no-such-model" }, OpenAI.NotFoundError, 404],
    ["no messages", { messages: "hello" as never }, OpenAI.BadRequestError, 400],
    ["a request the provider refuses", { model: "scripted-refused" }, OpenAI.BadRequestError, 400],
    ["a provider that fails", { model: "scripted-fail" }, OpenAI.InternalServerError, 502],
    ["a provider out of quota", { model: "scripted-quota" }, OpenAI.InternalServerError, 502],
    [
      "a provider that refuses the operator's credential",
      { model: "scripted-unauthorised" },
      OpenAI.InternalServerError,
      502,
    ],
    ["a provider at its rate limit", { model: "scripted-rate-limited" }, OpenAI.RateLimitError, 429],
  ])("%s is the client's own error, with message, type and code", async (_, change, Class, status) => {
    const error = await failureOf(client.chat.completions.create({ model: "small", messages: MESSAGES, ...change }));

    expect(error).toBeInstanceOf(Class);
    const { status: seen, message, type, code, requestID } = error as InstanceType<typeof OpenAI.APIError>;
    expect(seen).toBe(status);
    expect(message).toMatch(/[a-z]{3}/);
    expect([type, code]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)]);
    expect(requestID).toMatch(/./);
  });

  it.each([
    ["nonsense", "nonsense"],
    ["a key of the right shape that nobody made", `weir_production_aaaaaaaaaaaa_${"A".repeat(43)}_000000`],
  ])("%s as the key is an AuthenticationError that does not repeat it", async (_, key) => {
    const error = await failureOf(createClient(key).chat.completions.create({ model: "small", messages: MESSAGES }));

    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect((error as Error).message).not.toContain(key);
  });

  it("a model that the key may not use is a PermissionDeniedError", async () => {
    const { secret } = await mesh.createKey({ models: ["large"] });

    const error = await failureOf(createClient(secret).chat.completions.create({ model: "small", messages: MESSAGES }));

    expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
  });

  it("more requests than the key may make are a RateLimitError that says when to come back", async () => {
    const { secret } = await mesh.createKey({ requestsPerMinute: 2 });
    const limited = createClient(secret);
    const outcomes: unknown[] = [];
    for (let index = 0; index < 3; index += 1) {
      outcomes.push(
        await limited.chat.completions.create({ model: "small", messages: MESSAGES }).catch((error: unknown) => error),
      );
    }

    expect(outcomes[2]).toBeInstanceOf(OpenAI.RateLimitError);
    const { headers } = outcomes[2] as InstanceType<typeof OpenAI.APIError>;
    expect(Number(headers?.get("retry-after"))).toBeGreaterThan(0);
  });

  it("an endpoint that is not served says so in the client's dialect", async () => {
    const error = await failureOf(client.images.generate({ model: "small", prompt: "a weir" }));

    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect((error as InstanceType<typeof OpenAI.APIError>).code).toMatch(/not_served/i);
  });
});

describe("an abort", () => {
  it("of a unary chat reaches the provider", async () => {
    const abort = new AbortController();
    const call = failureOf(
      client.chat.completions.create({ model: "scripted-silent", messages: MESSAGES }, { signal: abort.signal }),
    );
    await vi.waitFor(async () => {
      expect((await mesh.bill()).calls.some((each) => each.model === "scripted-silent")).toBe(true);
    });

    abort.abort();

    expect(await call).toBeInstanceOf(OpenAI.APIUserAbortError);
    expect(await waitForEnd("scripted-silent")).toBe("left by caller");
  });

  it("of a stream reaches the provider", async () => {
    const stream = await client.chat.completions.create({ model: "scripted-hold", messages: MESSAGES, stream: true });
    let pieces = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) pieces += 1;
      if (pieces === 3) break;
    }

    expect(await waitForEnd("scripted-hold")).toBe("left by caller");
  });
});

describe("models", () => {
  it("are listed, each once", async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);

    expect(ids).toEqual(expect.arrayContaining(["small", "large"]));
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("are only those that the key may use", async () => {
    const { secret } = await mesh.createKey({ models: ["large"] });

    const page = await createClient(secret).models.list();

    expect(page.data).toMatchObject([{ id: "large", object: "model" }]);
  });
});
