// What callers see of targets that fail: through every surface, with real providers, under a clock of the test's own.
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { Role } from "../../gen/weir/router/v1/chat_pb.ts";
import { ChatService } from "../../gen/weir/router/v1/chat_service_pb.ts";
import { OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import { ManualClock } from "../shared/clock.ts";
import { fromConnectError } from "../shared/errors/wire.ts";
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

/** A router with these providers, in the order of their priority; what each does can be changed. */
async function start(handlers: ProviderHandler[], options: Partial<HarnessOptions> = {}) {
  const clock = new ManualClock(Date.now());
  const providers: TestProvider[] = [];
  for (const index of handlers.keys()) {
    const provider = await startProvider((response, body) => handlers[index]!(response, body));
    closing.push(provider);
    providers.push(provider);
  }
  const router = await startHarness({ providers: providers.map(({ url }) => url), clock, ...options });
  closing.push(router);
  /** How often each provider was asked since the last time. */
  const countAsked = () => providers.map(({ requests }) => requests.splice(0).length);
  return { router, providers, clock, handlers, countAsked };
}

const PATHS = { "chat/completions": {}, responses: {}, messages: {} } as const;

async function ask(
  { url, key }: Harness,
  {
    path = "chat/completions",
    headers = {},
    body = {},
  }: { path?: keyof typeof PATHS; headers?: object; body?: object } = {},
) {
  const said = path === "responses" ? { input: "hi" } : { messages: [{ role: "user", content: "hi" }], max_tokens: 9 };
  const response = await fetch(`${url}/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body: JSON.stringify({ model: "small", ...said, ...body }),
  });
  const text = await response.text().catch((error: unknown) => String(error));
  return { status: response.status, headers: response.headers, text, target: response.headers.get("x-weir-target") };
}

async function askTimes(router: Harness, count: number) {
  const targets = new Map<string | null, number>();
  for (let call = 0; call < count; call++) {
    const { status, target } = await ask(router);
    if (status === 200) targets.set(target, (targets.get(target) ?? 0) + 1);
  }
  return targets;
}

describe("a target that fails", () => {
  it.each<[string, number, ProviderHandler]>([
    ["status 500", 5, answerError(500)],
    ["a reset", 5, (response) => void response.socket?.resetAndDestroy()],
    [
      "an answer that is none",
      5,
      (response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
    ],
    [
      "an error in an answer of status 200",
      5,
      (response) =>
        void response.writeHead(200, { "content-type": "application/json" }).end('{"error":{"message":"no"}}'),
    ],
    ["a refused credential", 3, answerError(401)],
    ["a quota that is used up", 3, answerError(429, { code: "insufficient_quota" })],
    ["a rate limit", 1, answerError(429)],
    ["overload", 1, answerError(529)],
  ])("is left alone after %s came %i times, and the record of each later call says so", async (_, count, handler) => {
    const { router, countAsked } = await start([handler, answerWell]);

    expect(await askTimes(router, 20)).toEqual(new Map([["p1/small", 20]]));

    expect(countAsked()).toEqual([count, 20]);
    expect(router.accounting.started[count]).toMatchObject({
      candidates: [{ target: { id: "p1/small" } }],
      rejected: [
        { target: { id: "p0/small" }, reason: expect.stringMatching(/^(TARGET_EJECTED|PROVIDER_RATE_LIMITED)$/) },
      ],
    });
    expect(router.accounting.outcomes.every(({ outcome }) => outcome.kind === OutcomeKind.ANSWERED)).toBe(true);
  });

  it("is left alone after three connections that did not come", async () => {
    const nobody = await startProvider(answerWell);
    await nobody.close();
    const provider = await startProvider(answerWell);
    closing.push(provider);
    const router = await startHarness({ providers: [nobody.url, provider.url] });
    closing.push(router);

    await askTimes(router, 10);

    const attempts = router.accounting.outcomes.map(({ outcome }) => outcome.attempts.length);
    expect(attempts).toEqual([2, 2, 2, 1, 1, 1, 1, 1, 1, 1]);
  });

  it("is left alone after five streams that were cut, though each of them began well", async () => {
    const { router, countAsked } = await start([answerEvents([contentEvent("Hel")], "reset"), answerWell]);

    for (let call = 0; call < 8; call++) await ask(router, { body: { stream: true } });

    expect(countAsked()).toEqual([5, 3]);
  });

  it("costs nobody an answer, when three of four fail in different ways", async () => {
    const { router, countAsked } = await start([
      answerError(503),
      (response) => void response.socket?.resetAndDestroy(),
      answerError(403),
      answerWell,
    ]);

    expect(await askTimes(router, 1_000)).toEqual(new Map([["p3/small", 1_000]]));
    expect(countAsked()).toEqual([5, 5, 3, 1_000]);
  });

  it.each<[string, ProviderHandler, object]>([
    ["what the caller asks is wrong", answerError(400), {}],
    ["what the caller asks is filtered", answerError(422), {}],
    ["what the caller names is missing", answerError(404, { message: "No such file" }), {}],
    ["a caller asks for more than a minute's limit", answerError(429, { message: "Request too large for x" }), {}],
  ])("is not taken for one when %s", async (_, handler) => {
    const { router, countAsked } = await start([handler, answerWell]);

    for (let call = 0; call < 10; call++) await ask(router);

    expect(countAsked()[0]).toBe(10);
    expect(router.standings.isQuiet).toBe(true);
  });

  it.each([
    ["a caller lets it: that says nothing of it", "50ms", 50, 6],
    ["the policy lets it: five times are enough", "60m", 100, 5],
  ])("that is silent for longer than %s", async (_, asks, waitsMs, count) => {
    const { router, providers, clock, countAsked } = await start([() => undefined, answerWell], {
      timeoutsMs: { firstToken: 100 },
    });

    for (let call = 0; call < 6; call++) {
      const asked = ask(router, { headers: { "x-weir-timeout-first-token": asks } });
      while (call < count && providers[0]!.requests.length === call) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (call < count) clock.advance(waitsMs);
      expect((await asked).target).toBe("p1/small");
    }

    expect(countAsked()).toEqual([count, 6]);
  });
});

describe("a target that comes back", () => {
  it("is asked by one call when its time is over, then by more and more, and by all after ten seconds", async () => {
    const { router, clock, handlers, countAsked } = await start([answerError(500), answerWell]);
    await askTimes(router, 5);
    handlers[0] = answerWell;
    countAsked();

    clock.advance(3_000);
    expect((await ask(router)).target).toBe("p1/small");
    clock.advance(2_000);
    expect((await ask(router)).target).toBe("p0/small");
    clock.advance(500);
    const early = await askTimes(router, 200);
    clock.advance(4_500);
    const half = await askTimes(router, 200);
    clock.advance(5_000);
    const all = await askTimes(router, 50);

    // Six standard deviations of a binomial around 20 and 100.
    expect(Math.abs((early.get("p0/small") ?? 0) - 20)).toBeLessThan(26);
    expect(Math.abs((half.get("p0/small") ?? 0) - 100)).toBeLessThan(43);
    expect(all).toEqual(new Map([["p0/small", 50]]));
    const deferred = router.accounting.started.filter(({ candidates }) => candidates[1]?.isDeferred === true);
    expect(deferred.every(({ candidates }) => candidates[1]?.target.id === "p0/small")).toBe(true);
    expect(deferred.length).toBe((early.get("p1/small") ?? 0) + (half.get("p1/small") ?? 0));
  });

  it("is asked by all at once when the credential that it refused is replaced", async () => {
    const { router, handlers, countAsked } = await start([answerError(401), answerWell], {
      credentials: new Map([
        ["credential-0", "sk-old"],
        ["credential-1", "sk-1"],
      ]),
    });
    await askTimes(router, 5);
    expect(countAsked()).toEqual([3, 5]);
    handlers[0] = answerWell;

    router.credentials.replace(
      new Map([
        ["credential-0", "sk-new"],
        ["credential-1", "sk-1"],
      ]),
    );
    router.renewUpstreams();

    expect(await askTimes(router, 5)).toEqual(new Map([["p0/small", 5]]));
  });

  it("is probed by one of many that ask at once; the others go elsewhere, and all are answered", async () => {
    const { router, clock, countAsked } = await start([answerError(500), answerWell]);
    await askTimes(router, 5);
    countAsked();
    clock.advance(5_000);

    const answers = await Promise.all(Array.from({ length: 32 }, () => ask(router)));

    expect(answers.map(({ status }) => status)).toEqual(new Array(32).fill(200));
    expect(countAsked()).toEqual([1, 32]);
  });
});

describe("a call whose targets are all left alone", () => {
  it("is told to wait as long as the first of them wants, asks nobody, and uses up no limit", async () => {
    const { router, clock, handlers, countAsked } = await start(
      [answerError(429, {}, { "retry-after": "30" }), answerError(429, {}, { "retry-after": "7" })],
      { requestsPerMinute: 2 },
    );
    await ask(router);
    countAsked();
    clock.advance(1_000);

    for (let call = 0; call < 20; call++) {
      const { status, headers, text } = await ask(router);
      expect([status, headers.get("retry-after"), headers.get("x-weir-reason")]).toEqual([
        429,
        "6",
        "PROVIDER_RATE_LIMITED",
      ]);
      expect(JSON.parse(text)).toMatchObject({ error: { type: "rate_limit_error", code: "rate_limit_exceeded" } });
    }
    expect(countAsked()).toEqual([0, 0]);
    expect(router.accounting.started).toHaveLength(1);
    expect(router.accounting.refusals).toHaveLength(20);
    expect(router.accounting.refusals[0]).toMatchObject({ reason: "PROVIDER_RATE_LIMITED", caller: expect.anything() });

    clock.advance(6_000);
    handlers[1] = answerWell;
    expect((await ask(router)).target).toBe("p1/small");
  });

  it("is refused at once in its own form, but for one every two seconds, while the only target is dead", async () => {
    const { router, clock, countAsked } = await start([answerError(500)]);
    for (let call = 0; call < 10; call++) expect((await ask(router)).status).toBe(502);
    clock.advance(2_000);
    countAsked();

    const answers = [];
    for (let call = 0; call < 10; call++) answers.push(await ask(router));

    expect(countAsked()).toEqual([1]);
    expect(answers.map(({ status }) => status)).toEqual([502, ...new Array<number>(9).fill(503)]);
    expect(answers[1]?.headers.get("x-weir-reason")).toBe("TARGET_EJECTED");
    expect(answers[1]?.headers.get("retry-after")).toBe("2");
    expect(answers[1]?.headers.has("x-should-retry")).toBe(false);
    const messages = await ask(router, { path: "messages" });
    expect([messages.status, JSON.parse(messages.text).error.type]).toEqual([529, "overloaded_error"]);
    const grpc = createClient(ChatService, createGrpcTransport({ baseUrl: router.address }));
    const refused = await grpc
      .complete({ input: INPUT }, { headers: { authorization: `Bearer ${router.key}` } })
      .catch(fromConnectError);
    expect(refused).toMatchObject({ reason: "TARGET_EJECTED", retryAfterMs: 2_000 });
  });

  it("is answered as often as the only target answers, when that fails by turns", async () => {
    let asked = 0;
    // Ten failures, one answer, over and over.
    const { router } = await start([
      (response, body) => (asked++ % 11 === 10 ? answerWell : answerError(500))(response, body),
    ]);

    expect(await askTimes(router, 220)).toEqual(new Map([["p0/small", 20]]));
  });

  it("is not moved to a provider that does not know what it is bound to", async () => {
    const { router, clock, countAsked } = await start([answerError(500), answerWell]);
    await askTimes(router, 5);
    clock.advance(2_000);
    countAsked();
    const bound = { path: "responses", body: { previous_response_id: "resp_1" } } as const;

    await ask(router, bound);
    const second = await ask(router, bound);

    expect([second.status, second.headers.get("x-weir-reason")]).toEqual([503, "TARGET_EJECTED"]);
    expect(countAsked()).toEqual([1, 0]);
  });
});

const INPUT = {
  model: "small",
  messages: [{ role: Role.USER, blocks: [{ content: { case: "text" as const, value: { text: "hi" } } }] }],
};

describe("x-weir-fallback", () => {
  it.each([false, true])("none: exactly the first target is asked (streamed: %s)", async (stream) => {
    const { router, countAsked } = await start([answerError(500), answerWell]);

    const { status } = await ask(router, { headers: { "x-weir-fallback": "none" }, body: { stream } });

    expect([status, countAsked()]).toEqual([502, [1, 0]]);
  });

  it("none: the first target in rotation is asked", async () => {
    const { router, countAsked } = await start([answerError(500), answerWell]);
    await askTimes(router, 5);
    countAsked();

    const { target } = await ask(router, { headers: { "x-weir-fallback": "none" } });

    expect([target, countAsked()]).toEqual(["p1/small", [0, 1]]);
  });

  it("allowed: as without it", async () => {
    const { router } = await start([answerError(500), answerWell]);

    expect((await ask(router, { headers: { "x-weir-fallback": "allowed" } })).target).toBe("p1/small");
  });

  it("anything else: refused before anybody is asked", async () => {
    const { router, countAsked } = await start([answerWell]);

    const { status, text } = await ask(router, { headers: { "x-weir-fallback": "never" } });

    expect([status, JSON.parse(text).error.param, countAsked()]).toEqual([400, "x-weir-fallback", [0]]);
  });

  it.each<[string, (baseUrl: string) => Transport]>([
    ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
    ["Connect", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  ])("is metadata of %s", async (_, transport) => {
    const { router, countAsked } = await start([answerError(500), answerWell]);
    const client = createClient(ChatService, transport(router.address));
    const options = (fallback: string) => ({
      headers: { authorization: `Bearer ${router.key}`, "x-weir-fallback": fallback },
    });

    const failed = await client.complete({ input: INPUT }, options("none")).catch(fromConnectError);
    const refused = await client.complete({ input: INPUT }, options("no")).catch(fromConnectError);

    expect([failed, refused]).toMatchObject([{ reason: "PROVIDER_FAILED" }, { reason: "ARGUMENT_INVALID" }]);
    expect(countAsked()).toEqual([1, 0]);
    expect((await client.complete({ input: INPUT }, options("allowed"))).target).toBe("p1/small");
  });
});
