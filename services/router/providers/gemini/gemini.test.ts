import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { Dialect } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import { OutcomeKind, UsageSource } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { answerWell, type Harness, type ProviderHandler, startHarness, startProvider } from "../../harness.fixture.ts";

let open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open) await one.close();
  open = [];
});

/** Starts a router before a Gemini and, when it has a second handler, an OpenAI. */
async function start(...handlers: ProviderHandler[]) {
  const providers = await Promise.all(handlers.map((handler) => startProvider(handler)));
  const router = await startHarness({
    providers: providers.map(({ url }, index) => ({
      baseUrl: url.replace(/\/v1$/, "/v1beta"),
      dialect: index === 0 ? Dialect.GEMINI : Dialect.OPENAI,
    })),
    credentials: new Map([
      ["credential-0", "AIza-0"],
      ["credential-1", "sk-1"],
    ]),
  });
  open = [router, ...providers];
  return { router, provider: providers[0]! };
}

const ask = (router: Harness, more: object = {}) =>
  fetch(`${router.url}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "small", messages: [{ role: "user", content: "hi" }], ...more }),
  });

const event = (parts: object[], more: object = {}) => ({
  candidates: [{ content: { role: "model", parts }, index: 0, ...more }],
  usageMetadata: { promptTokenCount: 7, candidatesTokenCount: 3, thoughtsTokenCount: 2, totalTokenCount: 12 },
  modelVersion: "gemini-3-pro",
});

const reply = (response: ServerResponse, answer: object, status = 200) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));

/** Streams these events, and then ends the stream as `last` says. */
function stream(response: ServerResponse, events: readonly object[], last: "end" | "reset" = "end"): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const text = events.map((data) => `data: ${JSON.stringify(data)}\r\n\r\n`).join("");
  response.write(text, () => (last === "end" ? response.end() : response.destroy()));
}

interface Choice {
  readonly message: { readonly tool_calls?: { readonly id: string; readonly function: object }[] };
  readonly finish_reason: string;
}

describe("a Gemini target", () => {
  it("is asked at its method with its key in a header, and answers a caller of chat completions", async () => {
    const { router, provider } = await start((response) =>
      reply(response, event([{ text: "Hello" }], { finishReason: "STOP" })),
    );

    const response = await ask(router);

    expect(await response.json()).toMatchObject({
      object: "chat.completion",
      model: "small",
      choices: [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 7, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 2 } },
    });
    const [request] = provider.requests;
    expect(request!.path).toBe("/v1beta/models/upstream-0:generateContent");
    expect(request!.headers["x-goog-api-key"]).toBe("AIza-0");
    expect(request!.headers.authorization).toBeUndefined();
    expect(router.accounting.outcomes[0]!.outcome.attempts[0]!.usage!.source).toBe(UsageSource.PROVIDER);
  });

  it("gets its signature back with the result of the tool that it asked for", async () => {
    const call = { functionCall: { name: "time", args: { of: "Rome" } }, thoughtSignature: "Sig+/==" };
    const { router, provider } = await start((response) =>
      reply(response, event([{ text: "Hm", thought: true }, call], { finishReason: "STOP" })),
    );
    const tools = [{ type: "function", function: { name: "time", parameters: { type: "object" } } }];
    const question = { role: "user", content: "hi" };

    const first = (await (await ask(router, { tools })).json()) as { choices: Choice[] };
    const [{ message, finish_reason }] = first.choices as [Choice];
    const result = { role: "tool", tool_call_id: message.tool_calls![0]!.id, content: "12:00" };
    await ask(router, { tools, messages: [question, message, result] });

    expect(finish_reason).toBe("tool_calls");
    expect(message.tool_calls).toMatchObject([{ function: { name: "time", arguments: '{"of":"Rome"}' } }]);
    const { contents } = JSON.parse(provider.requests[1]!.body);
    const { id } = message.tool_calls![0]!;
    expect(contents[1].parts).toContainEqual({
      functionCall: { id, ...call.functionCall },
      thoughtSignature: "Sig+/==",
    });
    expect(contents[2]).toEqual({
      role: "user",
      parts: [{ functionResponse: { id, name: "time", response: { output: "12:00" } } }],
    });
  });

  it("streams to a caller of chat completions", async () => {
    const { router, provider } = await start((response) =>
      stream(response, [event([{ text: "Hel" }]), event([{ text: "lo" }]), event([], { finishReason: "MAX_TOKENS" })]),
    );

    const text = await (await ask(router, { stream: true, stream_options: { include_usage: true } })).text();

    const chunks = text.split("\n\n").filter((line) => line.startsWith("data: {"));
    const deltas = chunks.map((line) => JSON.parse(line.slice(6)).choices[0]?.delta.content ?? "");
    expect(deltas.join("")).toBe("Hello");
    expect(text.match(/"finish_reason":"length"/g)).toHaveLength(1);
    expect(text.match(/"completion_tokens":5/g)).toHaveLength(1);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(provider.requests[0]!.path).toBe("/v1beta/models/upstream-0:streamGenerateContent?alt=sse");
  });

  it.each(["end", "reset"] as const)("is never taken for complete when its stream stops early by %s", async (last) => {
    const { router } = await start((response) => stream(response, [event([{ text: "Hel" }])], last));

    const text = await ask(router, { stream: true }).then(async (response) => {
      const reader = response.body!.getReader();
      let read = "";
      for (;;) {
        const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }));
        if (done) return read;
        read += Buffer.from(value!).toString();
      }
    });

    expect(text).toContain('"error"');
    expect(text).not.toContain("[DONE]");
    expect(text).not.toContain('"finish_reason":"');
    expect(router.accounting.outcomes[0]!.outcome.kind).toBe(OutcomeKind.CUT);
  });

  it("is left for the next one when it says before any content that its quota is used up", async () => {
    const error = { error: { code: 429, message: "Quota", status: "RESOURCE_EXHAUSTED" } };
    const { router } = await start(
      (response, { generationConfig }) =>
        generationConfig === undefined ? stream(response, [error]) : reply(response, error, 429),
      answerWell,
    );

    const within = await ask(router, { stream: true });
    const before = await ask(router, { max_tokens: 5 });

    expect(within.headers.get("x-weir-target")).toBe("p1/small");
    expect(before.headers.get("x-weir-target")).toBe("p1/small");
  });

  it("answers with what its filter says of a prompt, and nobody else is tried", async () => {
    const blocked = { promptFeedback: { blockReason: "SAFETY" }, usageMetadata: { promptTokenCount: 4 } };
    const { router } = await start(
      (response, { generationConfig }) =>
        generationConfig === undefined ? reply(response, blocked) : stream(response, [blocked]),
      answerWell,
    );

    const whole = (await (await ask(router)).json()) as { choices: Choice[] };
    const streamed = await (await ask(router, { stream: true, max_tokens: 5 })).text();

    expect(whole.choices[0]!.finish_reason).toBe("content_filter");
    expect(streamed).toContain('"finish_reason":"content_filter"');
    expect(router.accounting.outcomes.map(({ outcome }) => outcome.attempts.length)).toEqual([1, 1]);
  });

  it("is not asked what it can't be told, and the caller hears which field that is", async () => {
    const { router, provider } = await start((response) => reply(response, event([{ text: "Hello" }])));

    const response = await ask(router, { logit_bias: { 50256: -100 } });

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining("logit_bias") } });
    expect(provider.requests).toEqual([]);
  });
});
