import { createHash } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { Dialect } from "../../gen/weir/policy/v1/policy_pb.ts";
import {
  answerWell,
  type Harness,
  type ProviderHandler,
  startHarness,
  startProvider,
  type TestProvider,
} from "./harness.fixture.ts";

const MIB = 1 << 20;
let router: Harness | undefined;
let provider: TestProvider | undefined;

afterEach(async () => {
  await router?.close();
  await provider?.close();
});

/** Answers as Anthropic does, in one piece. */
const answerMessage: ProviderHandler = (response, { model }) => {
  response.writeHead(200, { "content-type": "application/json" });
  const usage = { input_tokens: 7, output_tokens: 3 };
  const content = [{ type: "text", text: "Hello world" }];
  response.end(
    JSON.stringify({ id: "m", type: "message", role: "assistant", model, content, stop_reason: "end_turn", usage }),
  );
};

/** A chat with a picture of so many MiB in it. */
function createBody(sizeMib: number, stream: boolean): string {
  const url = `data:image/png;base64,${"iVBORw0K".repeat((sizeMib * MIB) / 8)}`;
  const content = [
    { type: "text", text: "What is this?" },
    { type: "image_url", image_url: { url } },
  ];
  return JSON.stringify({ messages: [{ role: "user", content }], stream, model: "small" });
}

async function ask(body: string): Promise<{ readonly status: number; readonly text: string }> {
  const headers = { authorization: `Bearer ${router?.key}`, "content-type": "application/json" };
  const response = await fetch(`${router?.url}/chat/completions`, { method: "POST", headers, body });
  return { status: response.status, text: await response.text() };
}

const hash = (text: string) => createHash("sha256").update(text).digest("hex");

describe.each([1, 10, 30])("a body with a picture of %i MiB", (sizeMib) => {
  it.each([false, true])("is relayed as it came, streamed: %s", async (stream) => {
    provider = await startProvider(answerWell);
    router = await startHarness({ providers: [provider.url], bodyLimitBytes: 64 * MIB, bodyMemoryBytes: 256 * MIB });
    const body = createBody(sizeMib, stream);

    const { status, text } = await ask(body);

    expect([status, text.includes("Hello")]).toEqual([200, true]);
    const picture = (sent: string) => hash(sent.slice(sent.indexOf("data:image"), sent.lastIndexOf("iVBORw0K") + 8));
    expect(picture(provider.requests[0]?.body ?? "")).toBe(picture(body));
    expect(router.memory.usedBytes).toBe(0);
  });

  it("is translated for a provider of another dialect", async () => {
    provider = await startProvider(answerMessage);
    const target = { baseUrl: provider.url, dialect: Dialect.ANTHROPIC };
    router = await startHarness({ providers: [target], bodyLimitBytes: 64 * MIB, bodyMemoryBytes: 256 * MIB });

    const { status, text } = await ask(createBody(sizeMib, false));

    expect([status, text.includes("Hello world")]).toEqual([200, true]);
    expect(provider.requests[0]?.body.length).toBeGreaterThan(sizeMib * MIB);
    expect(router.memory.usedBytes).toBe(0);
  });
});

describe("a body that one target is relayed and the next one is told in another format", () => {
  it("reaches the third one as it came, beside those of other callers", async () => {
    const refuse: ProviderHandler = (response) => void response.writeHead(500).end();
    const refusing = await startProvider(refuse);
    const translated = await startProvider(refuse);
    provider = await startProvider(answerWell);
    router = await startHarness({
      providers: [refusing.url, { baseUrl: translated.url, dialect: Dialect.ANTHROPIC }, provider.url],
    });
    const texts = Array.from({ length: 40 }, (_, caller) => `${caller} `.repeat(10_000 + caller));
    const compose = (model: string) => (content: string) =>
      JSON.stringify({ model, messages: [{ role: "user", content }] });

    const answers = await Promise.all(texts.map(compose("small")).map(ask));
    await Promise.all([refusing.close(), translated.close()]);

    expect(answers.map(({ status }) => status)).toEqual(texts.map(() => 200));
    expect([refusing.requests.length, translated.requests.length]).not.toContain(0);
    const toFirst = texts.map(compose("upstream-0"));
    for (const { body } of refusing.requests) expect(toFirst).toContain(body);
    for (const { body } of translated.requests) expect(texts).toContain(JSON.parse(body).messages[0].content);
    expect(provider.requests.map(({ body }) => body).sort()).toEqual(texts.map(compose("upstream-2")).sort());
    expect(router.memory.usedBytes).toBe(0);
  });
});
