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
