import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { Dialect, Inexpressible } from "../../gen/weir/policy/v1/policy_pb.ts";
import { OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import {
  answerError,
  answerEvents,
  answerWell,
  contentEvent,
  type Harness,
  type HarnessProvider,
  type ProviderHandler,
} from "./harness.fixture.ts";
import { TYPED_ONLY, typedOnly } from "./providers/typed-only.fixture.ts";
import { type Side, startSides } from "./sides.fixture.ts";

const typed = (answer: ProviderHandler, policy: Partial<HarnessProvider> = {}): Side => ({
  answer,
  policy: { dialect: Dialect.GEMINI, ...policy },
});
const relayed = (answer: ProviderHandler): Side => ({ answer });

const start = (...sides: readonly Side[]) => startSides(sides, { dialects: TYPED_ONLY });

const MESSAGES = [{ role: "user" as const, content: "hi" }];
/** What chat completions can't say: a file by its address. */
const UNSAYABLE = [
  {
    role: "user",
    content: [
      { type: "text", text: "hi" },
      { type: "file", file: { file_data: "https://x.example/a.pdf" } },
    ],
  },
];

function ask({ url, key }: Harness, body: object) {
  return fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", "openai-beta": "x=1" },
    body: JSON.stringify({ model: "small", messages: MESSAGES, ...body }),
  });
}
const clientOf = ({ url, key }: Harness) => new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });

describe("a chat that is translated", () => {
  it("is written in the target's format, and its answer in the caller's", async () => {
    const { router, providers } = await start(typed(answerWell));

    const response = await ask(router, { max_tokens: 9, stop: "x", metadata: { a: "b" } });
    const answer = await response.json();

    expect(JSON.parse(providers[0]?.requests[0]?.body ?? "")).toEqual({
      model: "upstream-0",
      messages: MESSAGES,
      max_completion_tokens: 9,
      stop: ["x"],
      metadata: { a: "b" },
    });
    expect(providers[0]?.requests[0]?.path).toBe("/v1/models/upstream-0:ask");
    expect(answer).toEqual({
      id: `chatcmpl-${response.headers.get("x-request-id")}`,
      object: "chat.completion",
      created: expect.any(Number),
      model: "small",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello world", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage: {
        prompt_tokens: 7,
        completion_tokens: 3,
        total_tokens: 10,
        prompt_tokens_details: { cached_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
    });
    expect(router.accounting.outcomes).toMatchObject([
      { outcome: { kind: OutcomeKind.ANSWERED, attempts: [{ usage: { source: UsageSource.PROVIDER } }] } },
    ]);
    expect(router.memory.usedBytes).toBe(0);
  });

  it("takes no header of the caller to a provider of another format", async () => {
    const { router, providers } = await start(typed(answerWell));

    const { headers } = await ask(router, {});

    expect(providers[0]?.requests[0]?.headers).not.toHaveProperty("openai-beta");
    expect(headers.has("openai-processing-ms")).toBe(false);
  });

  it("is streamed by the grammar of the caller's format, without the usage that nobody asked for", async () => {
    const { router } = await start(typed(answerWell));

    const text = await (await ask(router, { stream: true })).text();

    const events = text.split("\n\n").filter((event) => event !== "");
    expect(events.at(-1)).toBe("data: [DONE]");
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)) as OpenAI.ChatCompletionChunk);
    expect(chunks.map(({ choices: [choice] }) => [choice?.delta, choice?.finish_reason])).toEqual([
      [{ role: "assistant", content: "" }, null],
      [{ content: "Hello" }, null],
      [{ content: " world" }, null],
      [{}, "stop"],
    ]);
    expect(chunks.some((chunk) => "usage" in chunk)).toBe(false);
    expect(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size).toBe(1);
  });

  it("is streamed with its usage in the last chunk when that was asked for", async () => {
    const { router } = await start(typed(answerWell));

    const stream = await clientOf(router).chat.completions.create({
      model: "small",
      messages: MESSAGES,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);

    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 3 } });
  });

  it("ends with an error event and an aborted body when its stream breaks after content", async () => {
    const { router } = await start(typed(answerEvents([contentEvent("Hel")], "reset")), relayed(answerWell));

    const response = await ask(router, { stream: true });
    const parts: string[] = [];
    const reading = (async () => {
      for await (const part of response.body!) parts.push(Buffer.from(part).toString());
    })();

    await expect(reading).rejects.toThrow();
    const text = parts.join("");
    expect(text).toMatch(/"content":"Hel".*data: \{"error":\{"message":"Cannot answer: /s);
    expect(text).not.toContain("[DONE]");
    expect(text).not.toContain('"finish_reason":"');
    expect(router.accounting.outcomes).toMatchObject([{ outcome: { kind: OutcomeKind.CUT, reason: "STREAM_CUT" } }]);
  });

  it.each([
    ["refuses", answerError(500)],
    ["breaks off before content", answerEvents(['{"choices":[{"index":0,"delta":{"role":"assistant"}}]}'], "reset")],
    ["says an error before content", answerEvents(['{"error":{"message":"overloaded"}}'], "finish")],
  ])("falls over unseen to a target of the caller's own format when the first one %s", async (_, failing) => {
    const { router } = await start(typed(failing), relayed(answerWell));

    const response = await ask(router, { stream: true });
    const text = await response.text();

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(text).toContain('"x_unknown":{"kept":true}');
    expect(text).not.toContain("error");
  });

  it("falls over unseen to a target of another format, too", async () => {
    const { router } = await start(relayed(answerError(503)), typed(answerWell));

    const answer = (await (await ask(router, {})).json()) as OpenAI.ChatCompletion;

    expect(answer).toMatchObject({ model: "small", choices: [{ message: { content: "Hello world" } }] });
    expect(answer).not.toHaveProperty("x_unknown");
  });
});

describe("what a target can't be asked", () => {
  it("is not asked of it: the next one is, and the first one costs nothing", async () => {
    const { router, providers } = await start(typed(answerWell), relayed(answerWell));

    const response = await ask(router, { messages: UNSAYABLE });

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(providers[0]?.requests).toEqual([]);
    expect(router.accounting.outcomes[0]?.outcome).toMatchObject({
      kind: OutcomeKind.ANSWERED,
      attempts: [
        { target: { id: "p0/small" }, outcome: OutcomeKind.FAILED, reason: "ARGUMENT_INVALID", providerStatus: 0 },
        { target: { id: "p1/small" }, outcome: OutcomeKind.ANSWERED },
      ],
    });
    expect(router.accounting.outcomes[0]?.outcome.attempts[0]?.usage?.quantities.size).toBe(0);
  });

  it("is refused with the field and the reason when no other target is left, before any call", async () => {
    const { router, providers } = await start(typed(answerWell));

    const response = await ask(router, { messages: UNSAYABLE });

    expect(response.status).toBe(400);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(await response.json()).toMatchObject({
      error: {
        message: expect.stringContaining("is a file by URL"),
        type: "invalid_request_error",
        param: "messages[0].blocks[1]",
      },
    });
    expect(providers[0]?.requests).toEqual([]);
    expect(router.accounting.outcomes[0]?.outcome).toMatchObject({ kind: OutcomeKind.FAILED });
  });

  it("does not hide why another target that could be asked failed", async () => {
    const { router } = await start(relayed(answerError(503)), typed(answerWell));

    const response = await ask(router, { messages: UNSAYABLE });

    expect(response.status).toBe(502);
    expect(response.headers.get("x-weir-reason")).toBe("PROVIDER_FAILED");
    expect(response.headers.get("x-weir-target")).toBe("p0/small");
  });

  it("ends the chat where it is a mistake of ours, which would be the same elsewhere", async () => {
    const composeTyped = () => {
      throw new TypeError("a mistake");
    };
    const mistaken = { ...typedOnly, typed: { ...typedOnly.typed, composeTyped } };
    const dialects = new Map([[Dialect.GEMINI, mistaken]]);
    const { router, providers } = await startSides([typed(answerWell), relayed(answerWell)], { dialects });

    const response = await ask(router, {});

    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("a mistake");
    expect(providers.flatMap(({ requests }) => requests)).toEqual([]);
  });

  it("is not said to be left out by the answer of a later target that was told all", async () => {
    const { router } = await start(typed(answerError(503), { inexpressible: Inexpressible.DROP }), relayed(answerWell));

    const response = await ask(router, { messages: UNSAYABLE });

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(response.headers.get("x-weir-dropped")).toBeNull();
  });

  it("is left out where the policy says so, and named in a header and in the log", async () => {
    const { router, providers } = await start(typed(answerWell, { inexpressible: Inexpressible.DROP }));

    const response = await ask(router, { messages: UNSAYABLE });

    expect(response.status).toBe(200);
    expect(response.headers.get("x-weir-dropped")).toBe("messages[0].blocks[1]");
    expect(JSON.parse(providers[0]?.requests[0]?.body ?? "").messages).toEqual(MESSAGES);
    const lines = router.logLines.map((line) => JSON.parse(line) as { dropped?: string[] });
    expect(lines.find(({ dropped }) => dropped !== undefined)?.dropped).toEqual(["messages[0].blocks[1]"]);
    expect(router.logLines.join()).not.toContain("x.example");
  });
});
