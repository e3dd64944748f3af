import Anthropic from "@anthropic-ai/sdk";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { Dialect, Inexpressible } from "../../gen/weir/policy/v1/policy_pb.ts";
import { Meter, OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import { answerError, answerWell, type Harness, type ProviderHandler, type TestProvider } from "./harness.fixture.ts";
import { STREAMS, writeStream } from "./providers/anthropic/streams.fixture.ts";
import { type Side, startSides } from "./sides.fixture.ts";

const ofAnthropic = (answer: ProviderHandler): Side => ({ answer, policy: { dialect: Dialect.ANTHROPIC } });
const ofOpenAi = (answer: ProviderHandler, inexpressible: Inexpressible = Inexpressible.REFUSE): Side => ({
  answer,
  policy: { dialect: Dialect.OPENAI, inexpressible },
});

const MESSAGE = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude",
  content: [{ type: "text", text: "Hello world", citations: null }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 7, cache_read_input_tokens: 2, cache_creation_input_tokens: 0, output_tokens: 3 },
  x_unknown: { kept: true },
};
/** Answers as Anthropic does, in one piece or as a stream. */
const answerAsAnthropic =
  (name: keyof typeof STREAMS = "text"): ProviderHandler =>
  (response, body) => {
    if (body.stream === true) {
      response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
      response.end(writeStream(STREAMS[name]));
      return;
    }
    response.writeHead(200, {
      "content-type": "application/json",
      "request-id": "req_provider",
      "anthropic-organization-id": "org-1",
      "anthropic-ratelimit-unified-status": "allowed",
      "anthropic-ratelimit-requests-remaining": "9",
    });
    response.end(JSON.stringify("max_tokens" in body ? MESSAGE : { input_tokens: 11 }));
  };
const refuseAsAnthropic =
  (status: number, type: string, message: string): ProviderHandler =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(`{"type":"error", "error":{"type":"${type}","message":"${message}"},"request_id":"req_provider"}`);
  };

const ASKED = { model: "small", max_tokens: 9, messages: [{ role: "user" as const, content: "hi" }] };
const ask = (
  { address, key }: Harness,
  body: object,
  { path = "/v1/messages", ...headers }: Record<string, string> = {},
) =>
  fetch(`${address}${path}`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const clientOf = ({ address, key }: Harness) => new Anthropic({ baseURL: address, apiKey: key, maxRetries: 0 });
const sentTo = ({ requests }: TestProvider) => requests.map(({ body }) => JSON.parse(body));

describe("a request for messages to a provider of the same format", () => {
  it("goes on with the target's model and is else as it came, and so does the answer", async () => {
    const { router, providers } = await startSides([ofAnthropic(answerAsAnthropic())]);
    const body = `{"model":"small", "max_tokens":9,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"x_new":[1.50],"messages":[{"role":"user","content":"hi"}]}`;

    const response = await ask(router, JSON.parse(body), { path: "/v1/messages?beta=true" });
    const second = await fetch(`${router.url}/messages`, {
      method: "POST",
      headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
      body,
    });

    expect(await response.json()).toEqual(MESSAGE);
    expect(await second.json()).toEqual(MESSAGE);
    expect(providers[0]?.requests[1]?.body).toBe(body.replace('"small"', '"upstream-0"'));
    expect(providers[0]?.requests[0]?.path).toBe("/v1/messages");
    const [settled] = router.accounting.outcomes;
    expect(settled).toMatchObject({ started: { surface: "anthropic" }, outcome: { kind: OutcomeKind.ANSWERED } });
    expect([...(settled?.outcome.attempts[0]?.usage?.quantities ?? [])]).toContainEqual([Meter.CACHED_INPUT_TOKENS, 2]);
  });

  it("takes version, betas and Claude Code's headers along, but no credential", async () => {
    const { router, providers } = await startSides([ofAnthropic(answerAsAnthropic())], {
      credentials: new Map([["credential-0", "sk-ant-operator"]]),
    });

    await ask(router, ASKED, {
      "anthropic-version": "2099-01-01",
      "anthropic-beta": "a-2025-01-01,b-2025-01-01",
      "x-claude-code-request-class": "main",
      "anthropic-workspace-id": "wrkspc_1",
      cookie: "a=b",
    });
    await ask(router, ASKED);

    expect(providers[0]?.requests[0]?.headers).toMatchObject({
      "x-api-key": "sk-ant-operator",
      "anthropic-version": "2099-01-01",
      "anthropic-beta": "a-2025-01-01,b-2025-01-01",
      "x-claude-code-request-class": "main",
    });
    expect(providers[0]?.requests[0]?.headers).not.toHaveProperty("cookie");
    expect(providers[0]?.requests[0]?.headers).not.toHaveProperty("anthropic-workspace-id");
    expect(providers[0]?.requests[1]?.headers["anthropic-version"]).toBe("2023-06-01");
  });

  it("answers with its own request id, and keeps what is about the operator's account", async () => {
    const { router } = await startSides([ofAnthropic(answerAsAnthropic())]);

    const { headers } = await ask(router, ASKED);

    expect(headers.get("request-id")).toBe(headers.get("x-request-id"));
    expect(headers.get("anthropic-organization-id")).toBeNull();
    expect(headers.get("anthropic-ratelimit-requests-remaining")).toBeNull();
    expect(headers.get("anthropic-ratelimit-unified-status")).toBe("allowed");
    expect(headers.get("x-weir-provider-anthropic-ratelimit-requests-remaining")).toBe("9");
  });

  it.each(["text", "tools", "thinking", "search"] as const)("streams %s as it comes", async (name) => {
    const { router } = await startSides([ofAnthropic(answerAsAnthropic(name))]);

    const response = await ask(router, { ...ASKED, stream: true });

    expect(await response.text()).toBe(writeStream(STREAMS[name]));
    expect(router.accounting.outcomes[0]?.outcome.attempts[0]?.usage?.source).toBe(UsageSource.PROVIDER);
  });

  it("falls back unseen when an error comes in the stream before content", async () => {
    const overloaded = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } };
    const { router } = await startSides([
      ofAnthropic((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end(writeStream([STREAMS.text[0], overloaded]));
      }),
      ofAnthropic(answerAsAnthropic()),
    ]);

    const response = await ask(router, { ...ASKED, stream: true });

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(await response.text()).toBe(writeStream(STREAMS.text));
  });

  it("ends a stream that breaks after content with an error that the client raises", async () => {
    const { router } = await startSides([
      ofAnthropic((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end(writeStream(STREAMS.text.slice(0, 5)));
      }),
    ]);

    const stream = clientOf(router).messages.stream(ASKED);

    await expect(stream.finalMessage()).rejects.toMatchObject({
      error: { type: "error", error: { type: "api_error" } },
    });
    expect(router.accounting.outcomes[0]?.outcome.kind).toBe(OutcomeKind.CUT);
  });

  it("tells what the provider finds wrong in the provider's own bytes", async () => {
    const { router } = await startSides([
      ofAnthropic(refuseAsAnthropic(400, "invalid_request_error", "x_new: Extra inputs")),
    ]);

    const response = await ask(router, ASKED);

    expect(response.status).toBe(400);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(await response.text()).toBe(
      '{"type":"error", "error":{"type":"invalid_request_error","message":"x_new: Extra inputs"},"request_id":"req_provider"}',
    );
  });

  it("tells of the limits that come with a refusal, and when to come back", async () => {
    const { router } = await startSides([
      ofAnthropic((response) => {
        response.writeHead(429, {
          "content-type": "application/json",
          "retry-after": "7",
          "anthropic-ratelimit-unified-status": "rejected",
          "anthropic-organization-id": "org-1",
        });
        response.end('{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}');
      }),
    ]);

    const { status, headers } = await ask(router, ASKED);

    expect(status).toBe(429);
    expect(headers.get("retry-after")).toBe("7");
    expect(headers.get("anthropic-ratelimit-unified-status")).toBe("rejected");
    expect(headers.get("anthropic-organization-id")).toBeNull();
  });

  it("says that the provider is overloaded as Anthropic does", async () => {
    const { router } = await startSides([ofAnthropic(refuseAsAnthropic(529, "overloaded_error", "Overloaded"))]);

    const response = await ask(router, ASKED);

    expect(response.status).toBe(529);
    expect(await response.json()).toMatchObject({ error: { type: "overloaded_error" } });
  });
});

describe("a request for messages to a provider of another format", () => {
  it("is translated, and so is the answer", async () => {
    const { router, providers } = await startSides([ofOpenAi(answerWell)]);

    const { data, response } = await clientOf(router)
      .messages.create({ ...ASKED, system: "be brief", stop_sequences: ["x"] })
      .withResponse();

    expect(sentTo(providers[0]!)[0]).toMatchObject({
      model: "upstream-0",
      messages: [
        { role: "system", content: "be brief" },
        { role: "user", content: "hi" },
      ],
      max_completion_tokens: 9,
      stop: ["x"],
    });
    expect(data).toMatchObject({
      type: "message",
      role: "assistant",
      model: "small",
      content: [{ type: "text", text: "Hello world" }],
      stop_reason: "end_turn",
      usage: { input_tokens: 7, output_tokens: 3 },
    });
    expect(response.headers.get("request-id")).toBe(response.headers.get("x-request-id"));
  });

  it("is streamed so that the client puts the message together", async () => {
    const { router } = await startSides([ofOpenAi(answerWell)]);

    const message = await clientOf(router).messages.stream(ASKED).finalMessage();

    expect(message.content).toMatchObject([{ type: "text", text: "Hello world" }]);
    expect(message).toMatchObject({ stop_reason: "end_turn", usage: { input_tokens: 7, output_tokens: 3 } });
  });

  it("is refused with the field when the target can't say it, and goes on without it where the policy says so", async () => {
    const marked = { ...ASKED, cache_control: { type: "ephemeral" as const } };
    const strict = await startSides([ofOpenAi(answerWell)]);
    const lenient = await startSides([ofOpenAi(answerWell, Inexpressible.DROP)]);

    const refused = await ask(strict.router, marked);
    const answered = await ask(lenient.router, marked);

    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { type: "invalid_request_error" } });
    expect(answered.status).toBe(200);
    expect(answered.headers.get("x-weir-dropped")).toContain("cache_control");
    expect(strict.providers[0]?.requests).toEqual([]);
  });

  it("tells what that provider finds wrong in the caller's format", async () => {
    const { router } = await startSides([ofOpenAi(answerError(400))]);

    const response = await ask(router, ASKED);

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      type: "error",
      error: { type: "invalid_request_error", message: "from the provider" },
    });
  });
});

describe("chat completions to a provider that speaks messages", () => {
  const openAiOf = ({ url, key }: Harness) => new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
  const HI = { model: "small", messages: [{ role: "user" as const, content: "hi" }] };

  it("are translated, with a cap for the provider that wants one", async () => {
    const { router, providers } = await startSides([ofAnthropic(answerAsAnthropic())]);

    const answer = await openAiOf(router).chat.completions.create(HI);

    expect(sentTo(providers[0]!)[0]).toEqual({
      model: "upstream-0",
      max_tokens: 1000,
      messages: [{ role: "user", content: "hi" }],
    });
    expect(answer.choices).toMatchObject([{ finish_reason: "stop", message: { content: "Hello world" } }]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 9, completion_tokens: 3 });
  });

  it("stream tool calls with inputs that parse", async () => {
    const { router } = await startSides([ofAnthropic(answerAsAnthropic("tools"))]);

    const answer = await openAiOf(router).chat.completions.stream(HI).finalChatCompletion();

    const calls = answer.choices[0]?.message.tool_calls;
    expect(answer.choices[0]?.finish_reason).toBe("tool_calls");
    expect(calls).toMatchObject([
      {
        function: { name: "get_weather", arguments: '{"location": "San Francisco", "station": 12345678901234567890}' },
      },
      { function: { name: "get_time", arguments: "{}" } },
    ]);
  });

  it("give signatures back byte for byte", async () => {
    const { router, providers } = await startSides([ofAnthropic(answerAsAnthropic("thinking"))]);
    const ask = (messages: object[]) =>
      fetch(`${router.url}/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
        body: JSON.stringify({ ...HI, stream: true, messages }),
      });
    const events = (await (await ask(HI.messages)).text()).split("\n\n").filter((event) => event.startsWith("data: {"));
    const details = new Map<number, Record<string, unknown>>();
    for (const event of events) {
      const [choice] = JSON.parse(event.slice(6)).choices;
      for (const { index, text, ...detail } of choice?.delta.reasoning_details ?? []) {
        const known = details.get(index) ?? {};
        details.set(index, { ...known, ...detail, ...(text && { text: `${known.text ?? ""}${text}` }) });
      }
    }

    await ask([
      ...HI.messages,
      { role: "assistant", content: "21", reasoning_details: [...details.values()] },
      { role: "user", content: "and?" },
    ]);

    const signed = STREAMS.thinking[4].delta as { readonly signature?: unknown };
    expect(sentTo(providers[0]!)[1].messages[1].content).toEqual([
      { type: "thinking", thinking: "First, gcd(1071, 462).", signature: signed.signature },
      { type: "redacted_thinking", data: "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw" },
      { type: "text", text: "21" },
    ]);
  });
});

describe("a request to count tokens", () => {
  const COUNTED = { model: "small", messages: ASKED.messages };

  it("is answered by a provider that counts, and costs nothing", async () => {
    const { router, providers } = await startSides([ofAnthropic(answerAsAnthropic())]);

    const count = await clientOf(router).messages.countTokens(COUNTED);

    expect(count.input_tokens).toBe(11);
    expect(providers[0]?.requests[0]?.path).toBe("/v1/messages/count_tokens");
    const usage = router.accounting.outcomes[0]?.outcome.attempts[0]?.usage;
    expect([...(usage?.quantities.values() ?? [])].filter((quantity) => quantity > 0)).toEqual([]);
  });

  it("is counted here for a provider that doesn't, which is not asked", async () => {
    const { router, providers } = await startSides([ofOpenAi(answerWell)]);

    const response = await ask(router, COUNTED, { path: "/v1/messages/count_tokens" });

    expect(await response.json()).toEqual({ input_tokens: countTokens("user\nhi\n") });
    expect(response.headers.get("x-weir-target")).toBe("p0/small");
    expect(providers[0]?.requests).toEqual([]);
    const { outcome } = router.accounting.outcomes[0]!;
    expect(outcome.kind).toBe(OutcomeKind.ANSWERED);
    expect([...(outcome.attempts[0]?.usage?.quantities ?? [])]).toEqual([]);
  });

  it("is refused to a key that may not use the model", async () => {
    const { router } = await startSides([ofAnthropic(answerAsAnthropic())], { models: ["other"] });

    const response = await ask(router, COUNTED, { path: "/v1/messages/count_tokens" });

    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ type: "error", error: { type: "permission_error" } });
  });
});

describe("the surface of Anthropic", () => {
  it.each([
    ["POST", "/v1/messages/batches", 501, "api_error"],
    ["GET", "/v1/messages", 405, "invalid_request_error"],
    ["POST", "/v1/messages/nothing", 501, "api_error"],
  ])("answers %s %s with %i in its own form", async (method, path, status, type) => {
    const { router } = await startSides([ofAnthropic(answerAsAnthropic())]);

    const response = await fetch(`${router.address}${path}`, { method, headers: { "x-api-key": router.key } });

    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ type: "error", error: { type }, request_id: expect.any(String) });
  });

  it("refuses a key that nobody made, and asks for no repetition", async () => {
    const { router } = await startSides([ofAnthropic(answerAsAnthropic())]);

    const response = await ask(router, ASKED, { "x-api-key": "nonsense" });

    expect(response.status).toBe(401);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(await response.json()).toMatchObject({ error: { type: "authentication_error" } });
  });

  it("lists models as Anthropic does for its clients, and as OpenAI does for others", async () => {
    const { router } = await startSides([ofAnthropic(answerAsAnthropic())]);

    const page = await clientOf(router).models.list({ limit: 1000 });
    const other = await fetch(`${router.url}/models`, { headers: { authorization: `Bearer ${router.key}` } });

    expect(page.data).toMatchObject([{ type: "model", id: "small", display_name: "small" }]);
    expect(page.has_more).toBe(false);
    expect(await other.json()).toMatchObject({ object: "list" });
  });
});

describe("a conversation whose thinking another maker signed", () => {
  const FROM_GOOGLE = { type: "thinking", thinking: "a", signature: "~weir-google:Ab==" };
  const FROM_CLAUDE = { type: "thinking", thinking: "b", signature: "EqAB" };
  const said = (thinking: object) => ({ role: "assistant", content: [thinking, { type: "text", text: "So" }] });
  const turns = [ASKED.messages[0], said(FROM_GOOGLE), ASKED.messages[0], said(FROM_CLAUDE), ASKED.messages[0]];
  const ofGoogle = (answer: ProviderHandler): Side => ({ answer, policy: { dialect: Dialect.GEMINI } });
  const answerAsGoogle: ProviderHandler = (response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end('{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}');
  };

  it("falls back from Google to Anthropic, to whom it goes without, and the caller is told", async () => {
    const { router, providers } = await startSides([ofGoogle(answerError(500)), ofAnthropic(answerAsAnthropic())]);

    const response = await ask(router, { ...ASKED, messages: turns });

    expect(response.status).toBe(200);
    expect(response.headers.get("x-weir-dropped")).toBe("messages[1].content[0]");
    expect(sentTo(providers[1]!)[0].messages).toEqual([
      turns[0],
      { role: "assistant", content: [{ type: "text", text: "So" }] },
      ...turns.slice(2),
    ]);
  });

  it("falls back from Anthropic to Google, who gets its own back and no other", async () => {
    const { router, providers } = await startSides([ofAnthropic(answerError(500)), ofGoogle(answerAsGoogle)]);

    const response = await ask(router, { ...ASKED, messages: turns });

    expect(response.status).toBe(200);
    expect(sentTo(providers[1]!)[0].contents.map(({ parts }: { parts: object[] }) => parts[0])).toEqual([
      { text: "hi" },
      { text: "a", thought: true, thoughtSignature: "Ab==" },
      { text: "hi" },
      { text: "b", thought: true },
      { text: "hi" },
    ]);
  });
});
