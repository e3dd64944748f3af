import { once } from "node:events";
import { connect, constants } from "node:http2";
import { text as readText } from "node:stream/consumers";
import OpenAI from "openai";
import { afterEach, describe, expect, it } from "vitest";
import { OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import {
  answerError,
  answerEvents,
  answerWell,
  contentEvent,
  type Harness,
  type HarnessOptions,
  type ProviderHandler,
  startHarness,
  startProvider,
  type TestProvider,
} from "./harness.fixture.ts";

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of closing.splice(0).reverse()) await part.close();
});

async function start(handlers: ProviderHandler[], options: Partial<HarnessOptions> = {}) {
  const providers: TestProvider[] = [];
  for (const handler of handlers) {
    const provider = await startProvider(handler);
    closing.push(provider);
    providers.push(provider);
  }
  const router = await startHarness({ providers: providers.map(({ url }) => url), ...options });
  closing.push(router);
  return { router, providers };
}

const clientOf = ({ url, key }: Harness) => new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const MESSAGES = [{ role: "user" as const, content: "hi" }];

async function readAll(stream: AsyncIterable<OpenAI.ChatCompletionChunk>) {
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return { chunks, text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("") };
}

describe("a chat", () => {
  it("is answered in one piece, with its usage in the accounting before the answer ends", async () => {
    const { router, providers } = await start([answerWell]);

    const { data, response } = await clientOf(router)
      .chat.completions.create({ model: "small", messages: MESSAGES, user: "u1" })
      .withResponse();

    expect(data.choices[0]?.message.content).toBe("Hello world");
    expect(data).toHaveProperty("x_unknown", { kept: true });
    const id = response.headers.get("x-request-id");
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "x-weir-snapshot": "1",
      "x-weir-keyring": "1",
      "x-weir-target": "p0/small",
      "openai-processing-ms": "5",
    });
    expect(response.headers.has("set-cookie")).toBe(false);
    expect(router.accounting.outcomes).toMatchObject([
      {
        started: { eventId: id, model: "small", streamed: false, surface: "openai", endUser: "u1" },
        outcome: {
          kind: OutcomeKind.ANSWERED,
          attempts: [{ outcome: OutcomeKind.ANSWERED, usage: { source: UsageSource.PROVIDER } }],
        },
      },
    ]);
    expect(providers[0]?.requests[0]?.path).toBe("/v1/chat/completions");
    expect(JSON.parse(providers[0]?.requests[0]?.body ?? "")).toEqual({
      model: "upstream-0",
      messages: MESSAGES,
      user: "u1",
    });
    expect(router.memory.usedBytes).toBe(0);
  });

  it("is streamed, and its usage is known though the caller did not ask for it", async () => {
    const { router, providers } = await start([answerWell]);

    const stream = await clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES, stream: true });
    const { chunks, text } = await readAll(stream);

    expect(text).toBe("Hello world");
    expect(chunks.every((chunk) => !("usage" in chunk))).toBe(true);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("stop");
    expect(JSON.parse(providers[0]?.requests[0]?.body ?? "").stream_options).toEqual({ include_usage: true });
    const { outcome } = router.accounting.outcomes[0]!;
    expect(outcome.attempts[0]?.usage?.source).toBe(UsageSource.PROVIDER);
    expect(outcome.attempts[0]?.firstContentAtMs).toBeDefined();
  });

  it("passes over what a provider says before its answer", async () => {
    const { router } = await start([
      (response, body) => {
        response.writeProcessing();
        response.writeEarlyHints({ link: "</a>; rel=preload" }, () => answerWell(response, body));
      },
    ]);

    const answer = await clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    expect(answer.choices[0]?.message.content).toBe("Hello world");
  });

  it("gives the same usage when the caller asks for it, and shows it", async () => {
    const { router } = await start([answerWell]);

    const stream = await clientOf(router).chat.completions.create({
      model: "small",
      messages: MESSAGES,
      stream: true,
      stream_options: { include_usage: true },
    });
    const { chunks } = await readAll(stream);

    expect(chunks.at(-1)?.usage).toEqual({ prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 });
    expect(router.accounting.outcomes[0]?.outcome.attempts[0]?.usage?.quantities.get(4)).toBe(3);
  });

  it("carries the provider's credential up and never the caller's", async () => {
    const { router, providers } = await start([answerWell], {
      credentials: new Map([["credential-0", "sk-provider-secret"]]),
    });

    await clientOf(router).chat.completions.create(
      { model: "small", messages: MESSAGES },
      { headers: { cookie: "a=b", "openai-organization": "org", "x-forwarded-for": "1.2.3.4", "openai-beta": "x=1" } },
    );

    const { headers } = providers[0]!.requests[0]!;
    expect(headers.authorization).toBe("Bearer sk-provider-secret");
    expect(JSON.stringify(headers)).not.toContain(router.key);
    expect(Object.keys(headers).sort()).toEqual(
      [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "openai-beta",
        "user-agent",
      ].sort(),
    );
  });

  it("is not begun at a target whose credential is missing, and the record says why", async () => {
    const { router } = await start([answerWell, answerWell], { credentials: new Map([["credential-1", "sk-1"]]) });

    const { response } = await clientOf(router)
      .chat.completions.create({ model: "small", messages: MESSAGES })
      .withResponse();

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(router.accounting.started[0]).toMatchObject({
      candidates: [{ target: { id: "p1/small" } }],
      rejected: [{ target: { id: "p0/small" }, reason: "CREDENTIAL_MISSING" }],
    });
  });

  it("ends with NO_TARGET and an outcome when no target can be used", async () => {
    const { router } = await start([answerWell], { credentials: new Map() });

    const asked = clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    await expect(asked).rejects.toMatchObject({ status: 503, code: "no_target" });
    expect(router.accounting.outcomes[0]?.outcome).toMatchObject({ kind: OutcomeKind.FAILED, reason: "NO_TARGET" });
  });

  it.each([
    ["status 500", answerError(500)],
    ["status 503", answerError(503)],
    ["status 408", answerError(408)],
    ["status 429", answerError(429)],
    ["status 401", answerError(401)],
    ["status 404", answerError(404)],
    ["a redirect", answerError(302, {}, { location: "http://127.0.0.1:1/" })],
    ["a reset", (response) => void response.socket?.resetAndDestroy()],
    ["a compressed answer", (response) => void response.writeHead(200, { "content-encoding": "gzip" }).end("x")],
    ["a page of HTML", (response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>")],
    ["a head without end", (response) => void response.writeHead(200, { "x-a": "y".repeat(40_000) }).end("{}")],
    ["204", (response) => void response.writeHead(204).end()],
    [
      "a body that is no JSON",
      (response) => void response.writeHead(200, { "content-type": "application/json" }).end("{"),
    ],
    ["an error within a stream", answerEvents(['{"error":{"message":"no"}}'], "finish")],
    ["a stream without content", answerEvents(["[DONE]"], "finish")],
    ["a stream that ends at once", answerEvents([], "finish")],
    [
      "a stream that is cut before content",
      answerEvents(['{"choices":[{"index":0,"delta":{"role":"assistant"}}]}'], "reset"),
    ],
    [
      "JSON in place of a stream",
      (response) => void response.writeHead(200, { "content-type": "application/json" }).end("{}"),
    ],
  ] satisfies [string, ProviderHandler][])("goes to the next target after %s", async (_, handler) => {
    for (const stream of [false, true]) {
      const { router, providers } = await start([handler, answerWell]);

      const answer = await clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES, stream });

      if (Symbol.asyncIterator in answer) expect((await readAll(answer)).text).toBe("Hello world");
      else expect(answer.choices[0]?.message.content).toBe("Hello world");
      expect(providers.map(({ requests }) => requests.length)).toEqual([1, 1]);
      const { outcome } = router.accounting.outcomes[0]!;
      expect(outcome.kind).toBe(OutcomeKind.ANSWERED);
      expect(outcome.attempts.map((attempt) => attempt.outcome)).toEqual([OutcomeKind.FAILED, OutcomeKind.ANSWERED]);
    }
  });

  it("goes to the next target when nobody listens", async () => {
    const nobody = await startProvider(answerWell);
    await nobody.close();
    const provider = await startProvider(answerWell);
    closing.push(provider);
    const router = await startHarness({ providers: [nobody.url, provider.url] });
    closing.push(router);

    await clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    expect(router.accounting.outcomes[0]?.outcome.attempts[0]).toMatchObject({
      reason: "PROVIDER_FAILED",
      providerStatus: 0,
      usage: { source: UsageSource.UNSPECIFIED },
    });
  });

  it.each([
    ["connects", { firstToken: 50 }, "PROVIDER_TIMEOUT"],
    ["is in its total time", { total: 50 }, "TIMEOUT"],
  ])("times out with a provider that only %s", async (_, timeoutsMs, reason) => {
    const { router } = await start([() => undefined], { timeoutsMs });

    const asked = clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    await expect(asked).rejects.toMatchObject({ status: 504, code: reason.toLowerCase() });
    expect(router.accounting.outcomes[0]?.outcome).toMatchObject({ kind: OutcomeKind.FAILED, reason });
  });

  it("gives the caller the provider's words when the request is at fault, and tries nobody else", async () => {
    const { router, providers } = await start([
      answerError(400, { message: "too long", code: "context_length_exceeded", param: "messages" }),
      answerWell,
    ]);

    const asked = clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    await expect(asked).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      param: "messages",
      error: { message: "too long" },
    });
    const refusal = (await asked.catch((cause: unknown) => cause)) as InstanceType<typeof OpenAI.APIError>;
    expect(refusal.headers?.get("x-weir-target")).toBe("p0/small");
    expect(providers[1]?.requests).toEqual([]);
    expect(router.accounting.outcomes[0]?.outcome).toMatchObject({
      kind: OutcomeKind.FAILED,
      reason: "PROVIDER_REFUSED",
    });
  });

  it("tells the soonest time to come back when all targets are at their rate limit", async () => {
    const { router } = await start([
      answerError(429, {}, { "retry-after": "30" }),
      answerError(429, {}, { "retry-after": "7" }),
    ]);

    const response = await fetch(`${router.url}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "small", messages: MESSAGES }),
    });

    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("7");
    expect(await response.json()).toMatchObject({ error: { code: "rate_limit_exceeded", type: "rate_limit_error" } });
  });

  it("does not tell callers what a provider says to the operator", async () => {
    const { router } = await start([answerError(401, { message: "Incorrect API key provided: sk-abc" })]);

    const asked = clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    await expect(asked).rejects.toMatchObject({ status: 502 });
    await expect(asked).rejects.not.toMatchObject({ message: expect.stringContaining("sk-abc") });
  });

  it.each([
    ["reset", "reset"],
    ["ended without its end", "finish"],
  ] as const)("is never ended as if whole when its stream is %s", async (_, end) => {
    const { router, providers } = await start([
      answerEvents([contentEvent("Hel"), contentEvent("lo")], end),
      answerWell,
    ]);

    const stream = await clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES, stream: true });
    const texts: string[] = [];
    const reading = (async () => {
      for await (const chunk of stream) texts.push(chunk.choices[0]?.delta.content ?? "");
    })();

    await expect(reading).rejects.toThrow(/Cannot answer/);
    expect(texts).toEqual(["Hel", "lo"]);
    expect(providers[1]?.requests).toEqual([]);
    const { outcome } = router.accounting.outcomes[0]!;
    expect(outcome).toMatchObject({ kind: OutcomeKind.CUT, reason: "STREAM_CUT" });
    expect(outcome.attempts[0]?.usage?.source).toBe(UsageSource.COUNTED);
    expect(outcome.attempts[0]?.usage?.quantities.get(4)).toBeGreaterThan(0);
  });

  it("is cut when the provider falls silent after content", async () => {
    const { router } = await start([answerEvents([contentEvent("Hel")], "silence")], { timeoutsMs: { idle: 50 } });

    const stream = await clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES, stream: true });

    await expect(readAll(stream)).rejects.toThrow(/nothing more/);
    expect(router.accounting.outcomes[0]?.outcome).toMatchObject({ kind: OutcomeKind.CUT, reason: "STREAM_CUT" });
  });

  it("is cancelled at the provider when the caller leaves, before content and after it", async () => {
    for (const handler of [() => undefined, answerEvents([contentEvent("Hel")], "silence")]) {
      const { router, providers } = await start([handler]);
      const leaving = new AbortController();

      const asked = clientOf(router).chat.completions.create(
        { model: "small", messages: MESSAGES, stream: true },
        { signal: leaving.signal },
      );
      if (handler.length > 0) {
        const stream = await asked;
        await stream[Symbol.asyncIterator]().next();
      } else {
        while (providers[0]?.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      leaving.abort();
      await asked.catch(() => undefined);

      await providers[0]?.left;
      await router.accounting.whenSettled();
      expect(router.accounting.outcomes).toMatchObject([
        { outcome: { kind: OutcomeKind.CANCELLED, reason: "CALLER_GONE" } },
      ]);
      expect(router.memory.usedBytes).toBe(0);
      expect(router.dispatcher.openChats).toBe(0);
    }
  });

  it("is the same over HTTP/2: answered, broken off, and cancelled when the caller leaves", async () => {
    const { router, providers } = await start([
      (response, body) => {
        if (body.stream !== true) answerWell(response, body);
        else answerEvents([contentEvent("Hel")], body.n === 2 ? "reset" : "silence")(response, body);
      },
    ]);
    const session = connect(router.address);
    const ask = (body: object) => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/v1/chat/completions",
        authorization: `Bearer ${router.key}`,
        "content-type": "application/json",
      });
      stream.end(JSON.stringify({ model: "small", messages: MESSAGES, ...body }));
      return stream;
    };

    const whole = ask({});
    const [head] = await once(whole, "response");
    expect(head).toMatchObject({ ":status": 200, "x-weir-target": "p0/small" });
    expect(JSON.parse(await readText(whole))).toHaveProperty("choices");

    const broken = ask({ stream: true, n: 2 });
    const failed = once(broken, "error");
    let text = "";
    broken.on("data", (data) => {
      text += data;
    });
    await failed;
    expect(text).toContain("Hel");
    expect(text).toContain('"code":"stream_cut"');
    expect(text).not.toContain("[DONE]");

    const held = ask({ stream: true });
    await once(held, "data");
    held.close(constants.NGHTTP2_CANCEL);
    await providers[0]?.left;
    await router.accounting.whenSettled(3);
    expect(router.accounting.outcomes.map(({ outcome }) => outcome.kind)).toEqual([
      OutcomeKind.ANSWERED,
      OutcomeKind.CUT,
      OutcomeKind.CANCELLED,
    ]);
    session.destroy();
  });

  it("is refused when the spool is full", async () => {
    const { router, providers } = await start([answerWell]);
    router.accounting.isFull = true;

    const asked = clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    await expect(asked).rejects.toMatchObject({ status: 503, code: "spool_full" });
    expect(providers[0]?.requests).toEqual([]);
  });

  it("reaches no provider and leaves no outcome when the disk does not take that it begins", async () => {
    const { router, providers } = await start([answerWell]);
    router.accounting.takesNothing = true;

    const asked = clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    await expect(asked).rejects.toMatchObject({ status: 503, code: "spool_full" });
    expect(providers[0]?.requests).toEqual([]);
    expect(router.accounting.outcomes).toEqual([]);
    expect(router.memory.usedBytes).toBe(0);
  });

  it("is refused beyond the limit, with the time to wait, and the refusal is counted", async () => {
    const { router } = await start([answerWell], { requestsPerMinute: 1 });
    const client = clientOf(router);
    await client.chat.completions.create({ model: "small", messages: MESSAGES });

    const asked = client.chat.completions.create({ model: "small", messages: MESSAGES });

    await expect(asked).rejects.toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    const error = await asked.catch((cause: InstanceType<typeof OpenAI.APIError>) => cause);
    expect(Number((error as InstanceType<typeof OpenAI.APIError>).headers?.get("retry-after"))).toBeGreaterThan(0);
    expect(router.accounting.refusals).toMatchObject([{ reason: "RATE_LIMITED" }]);
    expect(router.accounting.started).toHaveLength(1);
  });

  it("is refused for a model that is unknown or not for this key", async () => {
    const { router } = await start([answerWell], { models: ["other"] });
    const client = clientOf(router);

    await expect(client.chat.completions.create({ model: "nope", messages: MESSAGES })).rejects.toMatchObject({
      status: 404,
      code: "model_not_found",
      param: "model",
    });
    await expect(client.chat.completions.create({ model: "small", messages: MESSAGES })).rejects.toMatchObject({
      status: 403,
    });
    expect(router.accounting.started).toEqual([]);
  });

  it("refuses an answer that is too large", async () => {
    const large: ProviderHandler = (response, body) => {
      if (body.stream === true) return answerEvents([contentEvent("x".repeat(20_000))], "finish")(response, body);
      response.writeHead(200, { "content-type": "application/json" });
      response.write('{"a":"');
      response.end(`${"x".repeat(20_000)}"}`);
    };
    const { router } = await start([large], { answerLimitBytes: 10_000 });

    const asked = clientOf(router).chat.completions.create({ model: "small", messages: MESSAGES });

    await expect(asked).rejects.toThrow("larger than 10000 bytes");
    expect(router.memory.usedBytes).toBe(0);
  });
});

describe("how long a caller will wait", () => {
  const ask = (router: Harness, headers: Record<string, string>) =>
    fetch(`${router.url}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json", ...headers },
      body: JSON.stringify({ model: "small", messages: MESSAGES }),
    });

  it("shortens what the policy allows, and the next target is tried", async () => {
    const { router } = await start([() => undefined, answerWell]);

    const response = await ask(router, { "x-weir-timeout-first-token": "50ms" });

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(router.accounting.outcomes[0]?.outcome.attempts[0]).toMatchObject({ reason: "PROVIDER_TIMEOUT" });
  });

  it("never lengthens it", async () => {
    const { router } = await start([() => undefined], { timeoutsMs: { firstToken: 50 } });

    const response = await ask(router, { "x-weir-timeout-first-token": "30s", "x-weir-timeout-total": "1m" });

    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining("within 50 ms") } });
  });

  it("is refused when it is no time", async () => {
    const { router, providers } = await start([answerWell]);

    const response = await ask(router, { "x-weir-timeout-total": "soon" });

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: "x-weir-timeout-total" } });
    expect(providers[0]?.requests).toEqual([]);
  });
});

describe("a provider's rate limits", () => {
  const LIMITS = { "x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-tokens": "6m0s", "set-cookie": "a=b" };

  it.each<[string, number, ProviderHandler]>([
    [
      "an answer",
      200,
      (response, body) => {
        for (const [name, value] of Object.entries(LIMITS)) response.setHeader(name, value);
        answerWell(response, body);
      },
    ],
    ["an error", 429, answerError(429, {}, LIMITS)],
  ])("come down with %s under names of their own", async (_, status, handler) => {
    const { router } = await start([handler]);

    const response = await fetch(`${router.url}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "small", messages: MESSAGES }),
    });
    await response.text();

    expect(response.status).toBe(status);
    const headers = Object.fromEntries(response.headers);
    expect(headers).toMatchObject({
      "x-weir-provider-x-ratelimit-remaining-requests": "3",
      "x-weir-provider-x-ratelimit-reset-tokens": "6m0s",
    });
    expect(headers).not.toHaveProperty("x-ratelimit-remaining-requests");
    expect(headers).not.toHaveProperty("set-cookie");
  });
});
