import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { Dialect, Server } from "../../gen/weir/policy/v1/policy_pb.ts";
import type { Harness, HarnessProvider, ProviderHandler } from "./harness.fixture.ts";
import { startSides } from "./sides.fixture.ts";

const SECRET = "upstream-secret-1";
/** Spaces, order, unknown members and escapes of its own, as no writer of ours would have them. */
const BODY =
  '{"error" : {"code":"content_filter","message":"The prompt was filtered \\u2014 see \\/docs","status":400,"type":null,"param":"prompt","innererror":{"content_filter_result":{"hate":{"filtered":true,"severity":"high"}},"big":12345678901234567890}}}\n';

/** Starts a router before one provider that refuses everything with this body. */
async function start(body: string, policy: Partial<HarnessProvider>, status = 400): Promise<Harness> {
  const answer: ProviderHandler = (response) => {
    response.writeHead(status, {
      "content-type": "application/json",
      "openai-organization": "org-of-the-operator",
      "openai-project": "proj_of_the_operator",
      "x-request-id": "req_of_the_provider",
    });
    response.end(body);
  };
  const { router } = await startSides([{ answer, policy }], { credentials: new Map([["credential-0", SECRET]]) });
  return router;
}

const CALLS = {
  "chat/completions": { model: "small", messages: [{ role: "user", content: "hi" }] },
  responses: { model: "small", input: "hi" },
  embeddings: { model: "small", input: "hi" },
  messages: { model: "small", max_tokens: 9, messages: [{ role: "user", content: "hi" }] },
};
/** A provider's answer of this status, with a body that says what its dialect says. */
const answerError =
  (status: number, error: object = {}): ProviderHandler =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ error }));
  };
const QUOTA = answerError(429, { code: "insufficient_quota", message: "You exceeded your current quota" });
const MODEL = answerError(404, { code: "model_not_found", message: "The model does not exist" });
const FILE = answerError(404, { code: "not_found", message: "No such file" });
const TOO_LARGE = answerError(429, { message: "Request too large for gpt-4o: limit 1000, requested 2000" });
const ask = (router: Harness, path: keyof typeof CALLS, more: object = {}) =>
  fetch(`${router.url}/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
    body: JSON.stringify({ ...CALLS[path], ...more }),
  });

describe("a provider's refusal of what was relayed to it", () => {
  const OPENAI = { dialect: Dialect.OPENAI, server: Server.OPENAI };
  const AZURE = { dialect: Dialect.AZURE_OPENAI };

  it.each([
    ["chat/completions", OPENAI, {}],
    ["chat/completions", OPENAI, { stream: true }],
    ["chat/completions", AZURE, {}],
    ["responses", OPENAI, {}],
    ["responses", OPENAI, { stream: true }],
    ["embeddings", OPENAI, {}],
    ["embeddings", AZURE, {}],
  ] as const)("comes down byte for byte, with its status: %s %j %j", async (path, policy, more) => {
    const router = await start(BODY, policy, 422);

    const response = await ask(router, path, more);

    expect(response.status).toBe(422);
    expect(await response.text()).toBe(BODY);
    expect(response.headers.get("x-weir-reason")).toBe("PROVIDER_REFUSED");
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(JSON.stringify([...response.headers])).not.toMatch(/operator|of_the_provider/);
  });

  it("comes without the operator's credential, and without what is shaped like one", async () => {
    const body = `{"error":{"message":"no ${SECRET}, no sk-proj-abcdefghijkl", "type":"invalid_request_error"}}`;
    const router = await start(body, OPENAI);

    expect(await (await ask(router, "chat/completions")).text()).toBe(
      '{"error":{"message":"no …, no [secret]", "type":"invalid_request_error"}}',
    );
  });

  it.each([
    ["<html>Bad Request</html>", null],
    ['{"error":"no such field"}', "no such field"],
    ['{"error":{"message":["no such field"]}}', null],
    ['{"detail":"no such field"}', null],
    ['{"error":{"message":"no such field"}', null],
    [`{"error":{"message":"${"x".repeat(200_000)}"}}`, null],
  ])("is written anew when it is no error of OpenAI's (%#)", async (body, message) => {
    const router = await start(body, OPENAI);

    const response = await ask(router, "chat/completions");

    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: object };
    expect(Object.keys(error)).toEqual(["message", "type", "param", "code"]);
    expect(error).toMatchObject({
      message: message ?? "Cannot answer: the provider refuses the request with status 400",
    });
  });

  it("is written in the caller's own format when that is another one", async () => {
    const router = await start(BODY, OPENAI);

    expect(await (await ask(router, "messages")).json()).toMatchObject({
      type: "error",
      error: { type: "invalid_request_error", message: "The prompt was filtered — see /docs" },
    });
  });
});

describe("a failure that would be the same again", () => {
  it.each([
    ["the provider's quota is used up", [QUOTA], "false"],
    ["the credential is refused", [answerError(401)], "false"],
    ["the provider lacks the model", [MODEL], "false"],
    ["the provider lacks what the caller named", [FILE], "false"],
    ["the request is beyond the whole rate limit", [TOO_LARGE], "false"],
    ["no target can be asked before an operator acts", [answerError(401), QUOTA], "false"],
    ["the provider is sick", [answerError(500)], null],
    ["the rate limit is reached", [answerError(429)], null],
    ["the first target may be well again", [answerError(500), QUOTA], null],
    ["the last target may be well again", [QUOTA, answerError(500)], null],
  ])("is told as such, and no other: %s", async (_, answers, shouldRetry) => {
    const { router } = await startSides(answers.map((answer) => ({ answer })));

    const responses = [await ask(router, "chat/completions"), await ask(router, "messages")];

    expect(responses.map(({ ok }) => ok)).toEqual([false, false]);
    expect(responses.map(({ headers }) => headers.get("x-should-retry"))).toEqual([shouldRetry, shouldRetry]);
    expect(responses.every(({ headers }) => shouldRetry === null || !headers.has("retry-after"))).toBe(true);
  });

  it("is not told where another target is only out of rotation for now", async () => {
    const { router } = await startSides([{ answer: answerError(529) }, { answer: QUOTA }]);

    // The first call takes the first target out.
    const responses = [await ask(router, "chat/completions"), await ask(router, "chat/completions")];

    expect(responses.map(({ headers }) => headers.get("x-should-retry"))).toEqual([null, null]);
  });

  it("is not told to a caller who wanted one target only: another draw may lead to another", async () => {
    const { router } = await startSides([{ answer: QUOTA }, { answer: QUOTA }]);
    const headers = { authorization: `Bearer ${router.key}`, "content-type": "application/json" };

    const response = await fetch(`${router.url}/chat/completions`, {
      method: "POST",
      headers: { ...headers, "x-weir-fallback": "none" },
      body: JSON.stringify(CALLS["chat/completions"]),
    });

    expect(response.status).toBe(502);
    expect(response.headers.has("x-should-retry")).toBe(false);
  });

  it("is asked once by the clients of OpenAI and Anthropic, which else ask three times", async () => {
    const { router, providers } = await startSides([{ answer: QUOTA }]);
    const openai = new OpenAI({ apiKey: router.key, baseURL: router.url });
    const anthropic = new Anthropic({ apiKey: router.key, baseURL: router.url.replace("/v1", "") });

    const chat = openai.chat.completions.create({ model: "small", messages: [{ role: "user", content: "hi" }] });
    await expect(chat).rejects.toMatchObject({ status: 502 });
    const message = anthropic.messages.create(CALLS.messages as Anthropic.MessageCreateParamsNonStreaming);
    await expect(message).rejects.toMatchObject({ status: 502 });

    expect(providers[0]?.requests).toHaveLength(2);
  });
});
