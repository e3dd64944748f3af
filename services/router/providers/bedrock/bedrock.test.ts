import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { Dialect } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import { OutcomeKind, UsageSource } from "../../../../gen/weir/type/v1/usage_pb.ts";
import {
  answerWell,
  type Harness,
  type ProviderHandler,
  startHarness,
  startProvider,
  type TestProvider,
} from "../../harness.fixture.ts";
import { verifySignature } from "./signature.fixture.ts";
import { FRAMES, toException, toFrame } from "./stream.fixture.ts";

const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const CREDENTIALS = new Map([
  ["credential-0", `AKIDEXAMPLE:${SECRET}:tok/en=`],
  ["credential-1", "sk-1"],
]);
const BEDROCK = { dialect: Dialect.BEDROCK, cloudRegion: "eu-central-1" };
const ANSWER = {
  output: { message: { role: "assistant", content: [{ text: "Hello" }] } },
  stopReason: "end_turn",
  usage: { inputTokens: 7, outputTokens: 3, totalTokens: 10 },
  metrics: { latencyMs: 1 },
};

let open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open) await one.close();
  open = [];
});

/** Starts a router before a Bedrock, and perhaps before an OpenAI to fall back on. */
async function start(handlers: readonly ProviderHandler[], credentials = CREDENTIALS) {
  const providers: TestProvider[] = [];
  for (const handler of handlers) providers.push(await startProvider(handler));
  const router = await startHarness({
    providers: providers.map(({ url }, index) => ({ baseUrl: url, ...(index === 0 && BEDROCK) })),
    credentials,
  });
  open = [router, ...providers];
  return { router, provider: providers[0]! };
}

const ask = (router: Harness, more: object = {}) =>
  fetch(`${router.url}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "small", messages: [{ role: "user", content: "hé" }], ...more }),
  });

const answerJson =
  (body: object, status = 200, headers: Record<string, string> = {}): ProviderHandler =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };

const answerFrames =
  (
    frames: readonly Buffer[],
    end: (response: ServerResponse) => void = (response) => response.end(),
  ): ProviderHandler =>
  (response) => {
    response.writeHead(200, { "content-type": "application/vnd.amazon.eventstream" });
    response.write(Buffer.concat(frames), () => end(response));
  };

describe("a Bedrock target", () => {
  it("is asked with a signature that fits the request, byte by byte", async () => {
    const { router, provider } = await start([answerJson(ANSWER)]);

    const response = await ask(router);

    expect(response.status).toBe(200);
    const [request] = provider.requests;
    expect(request!.path).toBe("/v1/model/upstream-0/converse");
    expect(verifySignature(request!, SECRET)).toMatch(/^\d{8}\/eu-central-1\/bedrock\/aws4_request$/);
    expect(request!.headers["x-amz-security-token"]).toBe("tok/en=");
    expect(() => verifySignature({ ...request!, body: `${request!.body} ` }, SECRET)).toThrow();
    expect(() => verifySignature({ ...request!, path: `${request!.path}-stream` }, SECRET)).toThrow();
    expect(JSON.parse(request!.body)).toEqual({ messages: [{ role: "user", content: [{ text: "hé" }] }] });
  });

  it("answers a caller of OpenAI's format in one piece", async () => {
    const { router } = await start([answerJson(ANSWER)]);

    const answer = await (await ask(router)).json();

    expect(answer).toMatchObject({
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 7, completion_tokens: 3 },
    });
    expect(router.accounting.outcomes[0]!.outcome).toMatchObject({
      kind: OutcomeKind.ANSWERED,
      attempts: [{ usage: { source: UsageSource.PROVIDER } }],
    });
  });

  it("streams to a caller of OpenAI's format", async () => {
    const { router, provider } = await start([answerFrames(FRAMES)]);

    const text = await (await ask(router, { stream: true, stream_options: { include_usage: true } })).text();

    expect(provider.requests[0]!.path).toBe("/v1/model/upstream-0/converse-stream");
    expect(provider.requests[0]!.headers.accept).toBe("application/vnd.amazon.eventstream");
    const events = text.split("\n\n").filter((event) => event !== "" && event !== "data: [DONE]");
    const chunks = events.map((event) => JSON.parse(event.slice("data: ".length)));
    const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }: { delta: object }) => delta));
    expect(deltas.map(({ content = "" }) => content).join("")).toBe("Grüße, world");
    const input = deltas.flatMap(({ tool_calls = [] }) => tool_calls).filter(({ index }) => index === 0);
    expect(input.map((call) => call.function.arguments ?? "").join("")).toBe(
      '{"city": "München", "id": 12345678901234567890}',
    );
    expect(
      chunks.flatMap(({ choices }) => choices.map((choice: { finish_reason?: string }) => choice.finish_reason)),
    ).toContain("tool_calls");
    expect(chunks.at(-1).usage).toMatchObject({
      prompt_tokens: 112,
      completion_tokens: 30,
      prompt_tokens_details: { cached_tokens: 100 },
    });
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
  });

  it.each<[string, ProviderHandler]>([
    ["throttles", answerJson({ message: "Too many requests" }, 429, { "x-amzn-errortype": "ThrottlingException" })],
    ["refuses the signature", answerJson({ message: "no" }, 403, { "x-amzn-errortype": "InvalidSignatureException" })],
    ["throws before content", answerFrames([FRAMES[0]!, toException("throttlingException", "slow down")])],
    ["breaks off before content", answerFrames([FRAMES[0]!], (response) => response.socket?.resetAndDestroy())],
    ["sends a frame that is broken", answerFrames([Buffer.from(FRAMES[7]!).fill(0, 20, 21)])],
    ["answers in JSON where a stream was asked for", answerJson(ANSWER)],
  ])("is left for the next one, unseen, when it %s", async (_name, handler) => {
    const { router } = await start([handler, answerWell]);

    const response = await ask(router, { stream: true });

    expect(response.status).toBe(200);
    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(await response.text()).toContain("[DONE]");
    expect(router.accounting.outcomes[0]!.outcome.attempts).toHaveLength(2);
  });

  it.each<[string, ProviderHandler]>([
    ["throws", answerFrames([...FRAMES.slice(0, 9), toException("modelStreamErrorException", "gone")])],
    ["ends without its usage", answerFrames(FRAMES.slice(0, -1))],
    ["ends within a frame", answerFrames([...FRAMES.slice(0, 9), FRAMES[9]!.subarray(0, 20)])],
    ["is cut", answerFrames(FRAMES.slice(0, 9), (response) => response.socket?.resetAndDestroy())],
  ])("that %s after content never looks finished, and is billed", async (_name, handler) => {
    const { router } = await start([handler, answerWell]);

    const response = await ask(router, { stream: true });
    let text = "";
    const reading = (async () => {
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) text += chunk;
    })();

    await expect(reading).rejects.toThrow();
    expect(text).toContain("Grüße");
    expect(text).toContain('"error"');
    expect(text).not.toContain("[DONE]");
    await router.accounting.whenSettled();
    expect(router.accounting.outcomes).toHaveLength(1);
    const { kind, attempts } = router.accounting.outcomes[0]!.outcome;
    expect(kind).toBe(OutcomeKind.CUT);
    expect(attempts).toMatchObject([{ usage: { source: UsageSource.COUNTED } }]);
  });

  it("hands on what the caller must mend", async () => {
    const message = "Input is too long for requested model.";
    const { router } = await start([
      answerJson({ message }, 400, { "x-amzn-errortype": "ValidationException:http://x/" }),
      answerWell,
    ]);

    const response = await ask(router);

    expect(response.status).toBe(400);
    expect(await response.text()).toContain(message);
  });

  it("is presented an API key as it stands", async () => {
    const { router, provider } = await start([answerJson(ANSWER)], new Map([["credential-0", "ABSKQmVkcm9jaw=="]]));

    await ask(router);

    expect(provider.requests[0]!.headers.authorization).toBe("Bearer ABSKQmVkcm9jaw==");
    expect(provider.requests[0]!.headers["x-amz-date"]).toBeUndefined();
  });

  it("is not used with a credential that is none, and the others are", async () => {
    const { router, provider } = await start(
      [answerJson(ANSWER), answerWell],
      new Map([
        ["credential-0", "{"],
        ["credential-1", "sk-1"],
      ]),
    );

    const response = await ask(router);

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(provider.requests).toEqual([]);
  });

  it("is not asked what Converse can't say; the next one is", async () => {
    const { router, provider } = await start([answerJson(ANSWER), answerWell]);

    const response = await ask(router, { seed: 7 });

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(provider.requests).toEqual([]);
  });

  it("streams an empty answer to its end", async () => {
    const frames = [
      FRAMES[0]!,
      toFrame("messageStop", { stopReason: "end_turn" }),
      toFrame("metadata", { usage: { inputTokens: 3, outputTokens: 0, totalTokens: 3 } }),
    ];
    const { router } = await start([answerFrames(frames)]);

    const text = await (await ask(router, { stream: true })).text();

    expect(text).toContain('"finish_reason":"stop"');
    expect(text).toContain("[DONE]");
  });
});
