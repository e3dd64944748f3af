import { afterEach, describe, expect, it } from "vitest";
import { Dialect } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import { UsageSource } from "../../../../gen/weir/type/v1/usage_pb.ts";
import {
  answerError,
  answerEvents,
  answerWell,
  type Harness,
  type ProviderHandler,
  startHarness,
  startProvider,
} from "../../harness.fixture.ts";

const SAFE = { hate: { filtered: false, severity: "safe" }, violence: { filtered: false, severity: "safe" } };
/** As Azure begins each stream: what its filter says of the prompt, without an id, a model or a choice. */
const VERDICT = JSON.stringify({
  choices: [],
  created: 0,
  id: "",
  model: "",
  object: "",
  prompt_filter_results: [{ prompt_index: 0, content_filter_results: SAFE }],
});
const chunk = (choices: object[], usage?: object) =>
  JSON.stringify({
    choices,
    created: 1,
    id: "c",
    model: "gpt",
    object: "chat.completion.chunk",
    ...(usage && { usage }),
  });
const STREAM = [
  VERDICT,
  chunk([
    {
      content_filter_results: {},
      delta: { content: "", refusal: null, role: "assistant" },
      finish_reason: null,
      index: 0,
    },
  ]),
  chunk([{ content_filter_results: SAFE, delta: { content: "Hello" }, finish_reason: null, index: 0 }]),
  chunk([{ content_filter_results: {}, delta: {}, finish_reason: "stop", index: 0 }]),
  chunk([], { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }),
  "[DONE]",
];

let open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open) await one.close();
  open = [];
});

/** Starts a router before an Azure and, when it has a second handler, an OpenAI. */
async function start(handlers: readonly ProviderHandler[], apiVersion = "2024-10-21") {
  const providers = await Promise.all(handlers.map((handler) => startProvider(handler)));
  const router = await startHarness({
    providers: providers.map(({ url }, index) => ({
      baseUrl: url.replace(/\/v1$/, ""),
      ...(index === 0 && { dialect: Dialect.AZURE_OPENAI, apiVersion }),
    })),
    credentials: new Map([
      ["credential-0", "azure-key"],
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

describe("an Azure OpenAI target", () => {
  it.each([
    ["2024-10-21", "/openai/deployments/upstream-0/chat/completions?api-version=2024-10-21"],
    ["", "/openai/v1/chat/completions"],
  ])("is asked at its place, with its header, the caller's bytes relayed: API version %j", async (apiVersion, path) => {
    const { router, provider } = await start([answerWell], apiVersion);

    const response = await ask(router, { data_sources: [{ type: "azure_search" }] });

    expect(response.status).toBe(200);
    const [request] = provider.requests;
    expect(request!.path).toBe(path);
    expect(request!.headers["api-key"]).toBe("azure-key");
    expect(request!.headers.authorization).toBeUndefined();
    expect(JSON.parse(request!.body)).toMatchObject({ model: "upstream-0", data_sources: [{ type: "azure_search" }] });
  });

  it("streams with the verdicts of its filter as they came, and is billed by its usage", async () => {
    const { router } = await start([answerEvents(STREAM, "finish")]);

    const text = await (await ask(router, { stream: true })).text();

    expect(text).toContain('"prompt_filter_results"');
    expect(text).toContain(`"content_filter_results":${JSON.stringify(SAFE)}`);
    expect(text).not.toContain('"usage"');
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(router.accounting.outcomes[0]!.outcome.attempts).toMatchObject([
      { usage: { source: UsageSource.PROVIDER } },
    ]);
  });

  it("is left for the next one when it fails after the verdict on the prompt, which is no content", async () => {
    const { router } = await start([answerEvents([VERDICT], "reset"), answerWell]);

    const response = await ask(router, { stream: true });

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
  });

  it("hands on that its filter refused the prompt", async () => {
    const error = {
      code: "content_filter",
      message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
      param: "prompt",
      type: null,
      status: 400,
      innererror: { code: "ResponsibleAIPolicyViolation", content_filter_result: SAFE },
    };
    const { router } = await start([answerError(400, error), answerWell]);

    const response = await ask(router);

    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error });
  });

  it.each([
    [401, { code: "401", message: "Access denied due to invalid subscription key or wrong API endpoint." }],
    [404, { code: "DeploymentNotFound", message: "The API deployment for this resource does not exist." }],
    [429, { code: "429", message: "Requests have exceeded the token rate limit." }],
  ])("is left for the next one when it answers %i", async (status, error) => {
    const { router } = await start([answerError(status, error), answerWell]);

    expect((await ask(router)).headers.get("x-weir-target")).toBe("p1/small");
  });
});
