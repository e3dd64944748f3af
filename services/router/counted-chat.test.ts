import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import OpenAI from "openai";
import { afterEach, describe, expect, it } from "vitest";
import { Meter, OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import { contentEvent, type Harness, type ProviderHandler, startHarness, startProvider } from "./harness.fixture.ts";

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of closing.splice(0).reverse()) await part.close();
});

const QUESTION = "Explain in a few words what a weir is, and why one would put it across a river.";
const WORDS = [
  "A weir",
  " is a low dam",
  " across a river:\n\n",
  "- it raises the level of the water, “upstream”;\n",
  "- it directs the flow — and measures it.\n",
  "```ts\nconst flow = await measure({ at: \"weir\", unit: 'm³/s' });\n```",
];
const ANSWER = WORDS.join("");

/** Answers without ever saying what it used, in one piece or as a stream, which ends or stays open. */
const answer =
  (end: "finish" | "silence" = "finish"): ProviderHandler =>
  (response, body) => {
    if (body.stream !== true) {
      const message = { role: "assistant", content: ANSWER };
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ id: "c", choices: [{ index: 0, message, finish_reason: "stop" }] }));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const word of WORDS) response.write(`data: ${contentEvent(word)}\n\n`);
    if (end === "silence") return;
    response.write('data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n');
    response.end("data: [DONE]\n\n");
  };

async function start(handler: ProviderHandler): Promise<{ router: Harness; client: OpenAI }> {
  const provider = await startProvider(handler);
  closing.push(provider);
  const router = await startHarness({ providers: [provider.url] });
  closing.push(router);
  return { router, client: new OpenAI({ apiKey: router.key, baseURL: router.url, maxRetries: 0 }) };
}

const ASKED = { model: "small", messages: [{ role: "user" as const, content: QUESTION }] };

/** Of the one call that was settled. */
function usageOf({ accounting }: Harness) {
  const usage = accounting.outcomes[0]?.outcome.attempts[0]?.usage;
  return {
    source: usage?.source,
    input: Number(usage?.quantities.get(Meter.INPUT_TOKENS)),
    output: Number(usage?.quantities.get(Meter.OUTPUT_TOKENS)),
  };
}

describe("a chat whose provider never says what it used", () => {
  it.each(["in one piece", "streamed"])("is billed what a tokenizer counts of its texts, %s", async (form) => {
    const { router, client } = await start(answer());

    if (form === "streamed") for await (const _ of await client.chat.completions.create({ ...ASKED, stream: true }));
    else await client.chat.completions.create(ASKED);
    await router.accounting.whenSettled();

    const { source, input, output } = usageOf(router);
    expect(source).toBe(UsageSource.COUNTED);
    expect(output).toBe(countTokens(ANSWER));
    // A few tokens go to the frame of a message, as providers count too.
    expect(input - countTokens(QUESTION)).toBeGreaterThanOrEqual(0);
    expect(input - countTokens(QUESTION)).toBeLessThanOrEqual(4);
  });

  it("is billed what came of it when it is cut, the first one of a router too", async () => {
    const { router, client } = await start((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(WORDS.map((word) => `data: ${contentEvent(word)}\n\n`).join(""), () => {
        response.socket?.resetAndDestroy();
      });
    });

    const stream = await client.chat.completions.create({ ...ASKED, stream: true });
    const reading = (async () => {
      for await (const _ of stream);
    })();
    await expect(reading).rejects.toThrow();
    await router.accounting.whenSettled();

    expect(router.accounting.outcomes[0]?.outcome.kind).toBe(OutcomeKind.CUT);
    expect(usageOf(router)).toMatchObject({ source: UsageSource.COUNTED, output: countTokens(ANSWER) });
  });

  it("is billed what came of it when its caller leaves", async () => {
    const { router, client } = await start(answer("silence"));

    const stream = await client.chat.completions.create({ ...ASKED, stream: true });
    let text = "";
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      if (text === ANSWER) break;
    }
    await router.accounting.whenSettled();

    expect(router.accounting.outcomes[0]?.outcome.kind).toBe(OutcomeKind.CANCELLED);
    expect(usageOf(router)).toMatchObject({ source: UsageSource.COUNTED, output: countTokens(ANSWER) });
    expect(router.accounting.outcomes).toHaveLength(1);
  });
});
