import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import OpenAI from "openai";
import { afterEach, describe, expect, it } from "vitest";
import { Dialect, Inexpressible } from "../../gen/weir/policy/v1/policy_pb.ts";
import {
  type EmbeddingEncoding,
  EmbeddingInputSchema,
  EmbeddingService,
} from "../../gen/weir/router/v1/embedding_service_pb.ts";
import { Meter, Operation, OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import {
  type Harness,
  type HarnessOptions,
  startHarness,
  startProvider,
  type TestProvider,
} from "./harness.fixture.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const opened of open.splice(0).reverse()) await opened.close();
});

/** A provider that always gives this answer. */
async function provide(answer: unknown, status = 200): Promise<TestProvider> {
  const provider = await startProvider((response) => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
  open.push(provider);
  return provider;
}

/** Starts a router before providers; of the OpenAI dialect where nothing else is said. */
async function route(providers: HarnessOptions["providers"]): Promise<Harness> {
  const router = await startHarness({ providers });
  open.push(router);
  return router;
}

function post(router: Harness, body: unknown): Promise<Response> {
  return fetch(`${router.url}/embeddings`, {
    method: "POST",
    headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

const OPENAI_ANSWER = {
  object: "list",
  data: [{ object: "embedding", index: 0, embedding: [0.5, -1] }],
  model: "text-embedding-3-small",
  usage: { prompt_tokens: 3, total_tokens: 3 },
};
const GEMINI_ANSWER = {
  embeddings: [{ values: [0.5, -1] }, { values: [2, 0.25] }],
  usageMetadata: { promptTokenCount: 5 },
};

describe("POST /v1/embeddings", () => {
  it("relays bytes to a target of the OpenAI dialect, and leaves one usage of an embedding", async () => {
    const provider = await provide(OPENAI_ANSWER);
    const router = await route([provider.url]);

    const response = await post(router, '{ "model":"small", "input":["a"],"encoding_format":"base64", "own": 1.50 }');

    expect(await response.json()).toEqual(OPENAI_ANSWER);
    expect(provider.requests.map(({ path, body }) => [path, body])).toEqual([
      ["/v1/embeddings", '{ "model":"upstream-0", "input":["a"],"encoding_format":"base64", "own": 1.50 }'],
    ]);
    const [{ started, outcome }] = router.accounting.outcomes as [(typeof router.accounting.outcomes)[0]];
    expect(started).toMatchObject({ operation: Operation.EMBEDDING, maxOutputTokens: 0n, streamed: false });
    expect(outcome.kind).toBe(OutcomeKind.ANSWERED);
    const { source, quantities } = outcome.attempts[0]!.usage!;
    expect(source).toBe(UsageSource.PROVIDER);
    expect([...quantities]).toEqual([[Meter.INPUT_TOKENS, 3]]);
  });

  it("asks a target of the Gemini dialect in its own words, and answers in the encoding that was asked for", async () => {
    const provider = await provide(GEMINI_ANSWER);
    const router = await route([{ baseUrl: provider.url, dialect: Dialect.GEMINI }]);

    const floats = await post(router, { model: "small", input: ["a", "b"], dimensions: 2 });
    const packed = await post(router, { model: "small", input: ["a", "b"], encoding_format: "base64" });

    expect(await floats.json()).toEqual({
      object: "list",
      data: [
        { object: "embedding", index: 0, embedding: [0.5, -1] },
        { object: "embedding", index: 1, embedding: [2, 0.25] },
      ],
      model: "small",
      usage: { prompt_tokens: 5, total_tokens: 5 },
    });
    const { data } = (await packed.json()) as { data: { embedding: string }[] };
    const bytes = Buffer.from(data[1]!.embedding, "base64");
    expect([bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual([2, 0.25]);
    expect(provider.requests[0]!.path).toBe("/v1/models/upstream-0:batchEmbedContents");
    expect(JSON.parse(provider.requests[0]!.body).requests).toEqual(
      ["a", "b"].map((text) => ({
        model: "models/upstream-0",
        outputDimensionality: 2,
        content: { parts: [{ text }] },
      })),
    );
  });

  it.each([undefined, "float", "base64"] as const)(
    "gives OpenAI's own client the vectors, asked in %s",
    async (encoding) => {
      const provider = await provide(GEMINI_ANSWER);
      const router = await route([{ baseUrl: provider.url, dialect: Dialect.GEMINI }]);
      const client = new OpenAI({ baseURL: router.url, apiKey: router.key, maxRetries: 0 });

      const answer = await client.embeddings.create({
        model: "small",
        input: ["a", "b"],
        ...(encoding !== undefined && { encoding_format: encoding }),
      });

      const { data } = answer;
      const [, second] = data;
      const vector = second!.embedding as number[] | string;
      const values =
        typeof vector === "string"
          ? [...new Float32Array(new Uint8Array(Buffer.from(vector, "base64")).buffer)]
          : vector;
      expect(values).toEqual([2, 0.25]);
      expect(answer.usage).toEqual({ prompt_tokens: 5, total_tokens: 5 });
    },
  );

  it("counts what was read when the provider does not say, and nothing of the vectors", async () => {
    const provider = await provide({ embeddings: [{ values: [1] }] });
    const router = await route([{ baseUrl: provider.url, dialect: Dialect.GEMINI }]);

    await post(router, { model: "small", input: "abcdefgh" });

    const { source, quantities } = router.accounting.outcomes[0]!.outcome.attempts[0]!.usage!;
    expect(source).toBe(UsageSource.COUNTED);
    expect([...quantities.keys()]).toEqual([Meter.INPUT_TOKENS]);
  });

  it("passes over a target that can't be asked, and says why when there is no other", async () => {
    const provider = await provide(OPENAI_ANSWER);
    const other = await provide(OPENAI_ANSWER);
    const gemini = { baseUrl: other.url, dialect: Dialect.GEMINI, inexpressible: Inexpressible.DROP };
    const both = await route([gemini, provider.url]);
    const alone = await route([gemini]);

    const answered = await post(both, { model: "small", input: [1, 2] });
    const refused = await post(alone, { model: "small", input: [1, 2] });

    expect(answered.headers.get("x-weir-target")).toBe("p1/small");
    expect(refused.status).toBe(400);
    expect(((await refused.json()) as { error: unknown }).error).toMatchObject({ param: "items[0]" });
    expect(other.requests).toEqual([]);
  });

  it("tries the next target when an answer holds no vectors", async () => {
    const broken = await provide({ embeddings: [{ values: [null] }] });
    const provider = await provide(OPENAI_ANSWER);
    const router = await route([{ baseUrl: broken.url, dialect: Dialect.GEMINI }, provider.url]);

    const response = await post(router, { model: "small", input: "a" });

    expect(await response.json()).toEqual(OPENAI_ANSWER);
  });

  it("tells the caller what the provider finds wrong with its request", async () => {
    const error = { code: 400, message: "at most 100 requests", status: "INVALID_ARGUMENT" };
    const provider = await provide({ error }, 400);
    const router = await route([{ baseUrl: provider.url, dialect: Dialect.GEMINI }]);

    const response = await post(router, { model: "small", input: "a" });

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: "at most 100 requests" } });
  });

  it.each([
    { model: "small", input: "" },
    { model: "small", input: [] },
    { model: "small", input: {} },
    { model: "small", input: Array(2049).fill("a") },
    { model: "small", input: "a", encoding_format: "hex" },
    { model: "nope", input: "a" },
  ])("refuses bad input before any call (%#)", async (body) => {
    const provider = await provide(OPENAI_ANSWER);
    const router = await route([provider.url]);

    const response = await post(router, body);

    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(provider.requests).toEqual([]);
  });
});

describe("EmbeddingService", () => {
  const item = (value: string) => ({ content: { case: "text" as const, value } });
  const transports: readonly (readonly [string, (baseUrl: string) => Transport])[] = [
    ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
    ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect with JSON", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false })],
  ];

  it.each(transports)("answers over %s from targets of both dialects, with usage and cost", async (_, connect) => {
    const openai = await provide(OPENAI_ANSWER);
    const gemini = await provide(GEMINI_ANSWER);
    for (const provider of [openai.url, { baseUrl: gemini.url, dialect: Dialect.GEMINI }]) {
      const router = await route([provider]);
      const client = createClient(EmbeddingService, connect(router.address));
      const headers = { authorization: `Bearer ${router.key}` };
      const input = { model: "small", items: [item("a")], dimensions: 2, endUser: "" };

      const answer = await client.embed({ input }, { headers });

      expect(answer.embeddings[0]).toMatchObject({ index: 0, values: [0.5, -1] });
      expect(answer.target).toBe("p0/small");
      const tokens = provider === openai.url ? 3n : 5n;
      expect(answer.usage).toMatchObject({ source: UsageSource.PROVIDER, costNanos: tokens * 1000n });
      expect(answer.usage!.lines).toMatchObject([{ meter: Meter.INPUT_TOKENS, quantity: tokens }]);
      expect(answer.id).toBe(router.accounting.started[0]!.eventId);
      expect(router.accounting.outcomes).toHaveLength(1);
    }
    expect(JSON.parse(openai.requests[0]!.body)).toEqual({
      model: "upstream-0",
      input: ["a"],
      encoding_format: "float",
      dimensions: 2,
    });
  });

  it.each([
    ["nothing", undefined],
    ["no model", { items: [item("a")] }],
    ["no items", { model: "small" }],
    ["too many items", { model: "small", items: Array(2049).fill(item("a")) }],
    ["an empty text", { model: "small", items: [item("")] }],
    ["an empty item", { model: "small", items: [{}] }],
    ["no tokens", { model: "small", items: [{ content: { case: "tokens" as const, value: { ids: [] } } }] }],
    ["too many dimensions", { model: "small", items: [item("a")], dimensions: 65_537 }],
    ["an unknown encoding", { model: "small", items: [item("a")], encoding: 9 as EmbeddingEncoding }],
    [
      "items of two kinds",
      { model: "small", items: [item("a"), { content: { case: "tokens" as const, value: { ids: [1] } } }] },
    ],
  ])("refuses %s as INVALID_ARGUMENT before any call", async (_, init) => {
    const provider = await provide(OPENAI_ANSWER);
    const router = await route([provider.url]);
    const client = createClient(EmbeddingService, createGrpcTransport({ baseUrl: router.address }));
    const input = init && create(EmbeddingInputSchema, init as MessageInitShape<typeof EmbeddingInputSchema>);

    const refused = await client
      .embed({ ...(input && { input }) }, { headers: { authorization: `Bearer ${router.key}` } })
      .catch((error: unknown) => ConnectError.from(error));

    expect(refused).toMatchObject({ code: Code.InvalidArgument });
    expect(provider.requests).toEqual([]);
  });

  it("refuses a caller without a key", async () => {
    const router = await route(["http://127.0.0.1:9/v1"]);
    const client = createClient(EmbeddingService, createGrpcTransport({ baseUrl: router.address }));

    const refused = await client.embed({ input: { model: "small", items: [item("a")] } }).catch(ConnectError.from);

    expect(refused).toMatchObject({ code: Code.Unauthenticated });
  });
});
