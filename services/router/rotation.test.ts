import { setImmediate } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import {
  answerWell,
  contentEvent,
  type Harness,
  type ProviderHandler,
  startHarness,
  startProvider,
  type TestProvider,
} from "./harness.fixture.ts";

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of closing.splice(0).reverse()) await part.close();
});

const OLD = "sk-old-credential";
const NEW = "sk-new-credential";
const credentialsOf = (secret: string) => new Map([["credential-0", secret]]);

/** A provider that honours some credentials, which a test may change, and a router with the old one. */
async function start(handle: ProviderHandler = answerWell, refusal = 401) {
  const honoured = new Set([OLD]);
  const provider = await startProvider((response, body) => {
    const sent = provider.requests.at(-1)?.headers.authorization?.replace("Bearer ", "") ?? "";
    if (honoured.has(sent)) return handle(response, body);
    response.writeHead(refusal, { "content-type": "application/json" });
    response.end(
      JSON.stringify({ error: { message: `Incorrect API key provided: ${sent}`, type: "invalid_request_error" } }),
    );
  });
  const router = await startHarness({ providers: [provider.url], credentials: credentialsOf(OLD) });
  closing.push(provider, router);
  return { honoured, provider, router };
}

const ask = ({ url, key }: Harness, more: object = {}) =>
  fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "small", messages: [{ role: "user", content: "hi" }], ...more }),
  });

/** Asks without a pause by several callers until `until` resolves. Returns the status of each answer. */
async function askMeanwhile(router: Harness, until: Promise<void>): Promise<number[]> {
  const statuses: number[] = [];
  let isOver = false;
  void until.then(() => {
    isOver = true;
  });
  const askOn = async () => {
    while (!isOver) {
      const response = await ask(router);
      await response.arrayBuffer();
      statuses.push(response.status);
    }
  };
  await Promise.all(Array.from({ length: 16 }, askOn));
  return statuses;
}

const countSent = ({ requests }: TestProvider, secret: string) =>
  requests.filter(({ headers }) => headers.authorization === `Bearer ${secret}`).length;

async function whenSent(provider: TestProvider, secret: string, count: number): Promise<void> {
  while (countSent(provider, secret) < count) await setImmediate();
}

describe("S4: replacing a credential under load", () => {
  it("fails no call at a provider that takes the old one and the new one for a while", async () => {
    const { honoured, provider, router } = await start();
    const rotating = (async () => {
      await whenSent(provider, OLD, 100);
      honoured.add(NEW);
      router.credentials.replace(credentialsOf(NEW));
      router.renewUpstreams();
      await whenSent(provider, NEW, 50);
      honoured.delete(OLD);
      await whenSent(provider, NEW, 200);
    })();

    const statuses = await askMeanwhile(router, rotating);
    await rotating;

    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });

  it("fails no call at a provider that refuses the old one at once: those on their way are asked again with the new one", async () => {
    const { honoured, provider, router } = await start();
    const rotating = (async () => {
      await whenSent(provider, OLD, 100);
      router.credentials.replace(credentialsOf(NEW));
      honoured.clear();
      honoured.add(NEW);
      await whenSent(provider, NEW, 200);
    })();

    const statuses = await askMeanwhile(router, rotating);
    await rotating;

    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    const tried = router.accounting.outcomes.filter(({ outcome }) => outcome.attempts.length === 2);
    expect(tried.length).toBeGreaterThan(0);
    expect(tried[0]?.outcome.attempts).toMatchObject([
      { outcome: OutcomeKind.FAILED, providerStatus: 401 },
      { outcome: OutcomeKind.ANSWERED, providerStatus: 200 },
    ]);
  });

  it.each([401, 403])("asks again with the new one when the old one is refused with status %s", async (refusal) => {
    const { honoured, provider, router } = await start(answerWell, refusal);
    router.renewUpstreams();
    honoured.clear();
    honoured.add(NEW);
    router.credentials.replace(credentialsOf(NEW));

    const response = await ask(router);

    expect([response.status, provider.requests.length]).toEqual([200, 2]);
  });

  it("does not ask again when the credential that was refused is gone", async () => {
    const { honoured, provider, router } = await start();
    router.renewUpstreams();
    honoured.clear();
    router.credentials.replace(new Map());

    const response = await ask(router);

    expect([response.status, provider.requests.length]).toEqual([502, 1]);
  });

  it("lets a stream that runs end with the credential that it began with", async () => {
    let goOn: () => void = () => undefined;
    const { provider, router } = await start((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${contentEvent("Hello")}\n\n`);
      goOn = () => response.end(`data: ${contentEvent(" world")}\n\ndata: [DONE]\n\n`);
    });
    const response = await ask(router, { stream: true });
    const reader = response.body!.getReader();
    await reader.read();

    router.credentials.replace(credentialsOf(NEW));
    router.renewUpstreams();
    goOn();
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) rest += Buffer.from(part.value);

    expect(rest).toContain("[DONE]");
    expect(countSent(provider, OLD)).toBe(1);
  });

  it("asks once more, not for ever, when the new one is refused too, and quotes neither", async () => {
    const { honoured, provider, router } = await start();
    honoured.clear();
    // As if another one came with every look.
    let count = 0;
    router.credentials.current = () => () => ({ secret: `${NEW}-${++count}`, origins: [] });

    const response = await ask(router);

    expect(provider.requests.length).toBe(2);
    expect(response.status).not.toBe(200);
    expect(await response.text()).not.toMatch(/sk-(old|new)-credential/);
  });

  it("does not ask again with the credential that was refused", async () => {
    const { honoured, provider, router } = await start();
    honoured.clear();

    const response = await ask(router);

    expect(provider.requests.length).toBe(1);
    expect(await response.text()).not.toContain(OLD);
  });
});
