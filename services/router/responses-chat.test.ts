import { describe, expect, it } from "vitest";
import { Server } from "../../gen/weir/policy/v1/policy_pb.ts";
import { Meter, OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import { answerError, answerWell, type Harness, type ProviderHandler } from "./harness.fixture.ts";
import { EVENTS, toStream } from "./providers/openai/responses/events.fixture.ts";
import { type Side, startSides } from "./sides.fixture.ts";

/** Serves responses. */
const ofOpenAi = (answer: ProviderHandler): Side => ({ answer, policy: { server: Server.OPENAI } });
/** Serves chat completions only. */
const ofOther = (answer: ProviderHandler = answerWell): Side => ({ answer, policy: { server: Server.OTHER } });

const start = (...sides: readonly Side[]) => startSides(sides);

const ask = (router: Harness, body: object | string) =>
  fetch(`${router.url}/responses`, {
    method: "POST",
    headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify({ model: "small", input: "hi", ...body }),
  });

const WHOLE = JSON.stringify({
  ...(EVENTS.at(-1)!.response as object),
  x_unknown: { kept: 1.0 },
});

/** Answers as OpenAI does, in one piece or as a stream. */
const answerResponse: ProviderHandler = (response, body) => {
  if (body.stream === true) {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    response.end(toStream(EVENTS));
    return;
  }
  response.writeHead(200, { "content-type": "application/json", "openai-processing-ms": "5" });
  response.end(WHOLE);
};

/** Sends events, and then ends the body as if nothing were missing. */
const answerPart =
  (events: readonly Record<string, unknown>[]): ProviderHandler =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(toStream(events));
  };

/** How the only call ended, and what its last attempt used. */
async function settled({ accounting }: Harness) {
  await accounting.whenSettled();
  const { kind, attempts } = accounting.outcomes[0]!.outcome;
  return { kind, usage: attempts.at(-1)!.usage! };
}

/** Reads all that comes of a body, also of one that is aborted. */
async function readAll(response: Response): Promise<{ text: string; isWhole: boolean }> {
  let text = "";
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body!) text += decoder.decode(chunk, { stream: true });
    return { text, isWhole: true };
  } catch {
    return { text, isWhole: false };
  }
}

describe("a response of a provider that serves responses", () => {
  it("is asked for with the caller's bytes, but for the model, and given as it came", async () => {
    const { router, providers } = await start(ofOpenAi(answerResponse));
    const body =
      '{ "x_new" : [1.0, "\\u00fc"], "model":"small", "input": [{"role":"user","content":"hi"}],"store":true }';

    const response = await ask(router, body);

    expect(response.status).toBe(200);
    expect(await response.text()).toBe(WHOLE);
    expect(response.headers.get("openai-processing-ms")).toBe("5");
    const [request] = providers[0]!.requests;
    expect(request!.path).toBe("/v1/responses");
    expect(request!.body).toBe(body.replace('"small"', '"upstream-0"'));
  });

  it("is streamed as it came, and billed by what its last event says", async () => {
    const { router } = await start(ofOpenAi(answerResponse));

    const response = await ask(router, { stream: true });

    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    expect(await response.text()).toBe(toStream(EVENTS).toString());
    const { kind, usage } = await settled(router);
    expect(kind).toBe(OutcomeKind.ANSWERED);
    expect(usage.source).toBe(UsageSource.PROVIDER);
    expect(usage.quantities.get(Meter.REASONING_TOKENS)).toBe(5);
    expect(usage.quantities.get(Meter.OUTPUT_TOKENS)).toBe(15);
  });

  it.each([
    [
      "fails",
      { type: "response.failed", response: { status: "failed", error: { code: "server_error", message: "m" } } },
    ],
    ["says an error", { type: "error", code: "server_error", message: "m", param: null }],
  ])("is asked of the next target, unseen, when it %s before content", async (_how, last) => {
    const preamble = EVENTS.slice(0, 4);
    const { router } = await start(ofOpenAi(answerPart([...preamble, last])), ofOpenAi(answerResponse));

    const response = await ask(router, { stream: true });

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(await response.text()).toBe(toStream(EVENTS).toString());
  });

  it("falls back to a provider that only serves chat completions", async () => {
    const { router, providers } = await start(ofOpenAi(answerError(500)), ofOther());

    const response = await ask(router, { stream: true, instructions: "Be brief." });

    const text = await response.text();
    expect(text).toContain('"type":"response.completed"');
    expect(text).toContain('"text":"Hello world"');
    expect(providers[1]!.requests[0]!.path).toBe("/v1/chat/completions");
    expect(JSON.parse(providers[1]!.requests[0]!.body).messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "hi" },
    ]);
  });

  it.each([
    ["ends early", []],
    ["fails", [{ type: "response.failed", response: { error: { code: "server_error", message: "m" } } }]],
  ])("that %s after content ends with an error event and an aborted body", async (_how, last) => {
    const { router } = await start(ofOpenAi(answerPart([...EVENTS.slice(0, 10), ...last])));

    const { text, isWhole } = await readAll(await ask(router, { stream: true }));

    const events = text.trimEnd().split("\n\n");
    expect(isWhole).toBe(false);
    expect(events.at(-1)).toMatch(/^event: error\ndata: \{"type":"error",/);
    expect(text).not.toContain("response.completed");
    expect(text).not.toContain("response.failed");
    const { kind, usage } = await settled(router);
    expect(kind).toBe(OutcomeKind.CUT);
    expect(usage.source).toBe(UsageSource.COUNTED);
  });
});

describe("a response of a provider that only serves chat completions", () => {
  it("is written anew, with what it used", async () => {
    const { router } = await start(ofOther());

    const response = await ask(router, { max_output_tokens: 9 });

    expect(await response.json()).toMatchObject({
      object: "response",
      status: "completed",
      model: "small",
      output: [{ type: "message", content: [{ type: "output_text", text: "Hello world" }] }],
      usage: { input_tokens: 7, output_tokens: 3, total_tokens: 10 },
    });
  });

  it("is refused by the field's name when something can't be said, and nobody is asked", async () => {
    const { router, providers } = await start(ofOther());

    const response = await ask(router, { tools: [{ type: "web_search" }] });

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: 'extras["tools"]' } });
    expect(providers[0]!.requests).toEqual([]);
  });
});

describe("a request that is bound to an account", () => {
  const BOUND = { previous_response_id: "resp_1" };

  it("goes to the first provider that reads responses", async () => {
    const { router, providers } = await start(ofOther(), ofOpenAi(answerResponse));

    const response = await ask(router, BOUND);

    expect(response.headers.get("x-weir-target")).toBe("p1/small");
    expect(providers[0]!.requests).toEqual([]);
  });

  it("goes to no other one when that fails", async () => {
    const { router, providers } = await start(ofOpenAi(answerError(503)), ofOpenAi(answerResponse));

    const response = await ask(router, BOUND);

    expect(response.status).toBe(502);
    expect(providers[1]!.requests).toEqual([]);
  });

  it("is told in the provider's words that it holds no such answer", async () => {
    const error = { message: "Not found", param: "previous_response_id", code: "previous_response_not_found" };
    const { router } = await start(ofOpenAi(answerError(404, error)));

    const response = await ask(router, BOUND);

    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error });
  });

  it("is refused by the field's name where no provider reads responses", async () => {
    const { router, providers } = await start(ofOther());

    const response = await ask(router, BOUND);

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: "previous_response_id" } });
    expect(providers[0]!.requests).toEqual([]);
  });
});

describe("the surface of responses", () => {
  it("serves no responses in the background, and none by id", async () => {
    const { router } = await start(ofOpenAi(answerResponse));

    const inBackground = await ask(router, { background: true });
    const byId = await fetch(`${router.url}/responses/resp_1`, { headers: { authorization: `Bearer ${router.key}` } });

    expect([inBackground.status, byId.status]).toEqual([501, 501]);
    expect(inBackground.headers.get("x-should-retry")).toBe("false");
  });

  it("closes the provider's connection when the caller leaves within a stream", async () => {
    const { router, providers } = await start(
      ofOpenAi((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(toStream(EVENTS.slice(0, 10)));
      }),
    );
    const gone = new AbortController();
    const response = await fetch(`${router.url}/responses`, {
      method: "POST",
      signal: gone.signal,
      headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "small", input: "hi", stream: true }),
    });
    await response.body!.getReader().read();

    gone.abort();

    await providers[0]!.left;
    expect((await settled(router)).kind).toBe(OutcomeKind.CANCELLED);
  });
});
