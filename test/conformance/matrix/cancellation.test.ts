// A caller who goes away takes the provider's call along, whenever that is and over whatever protocol, and the call is settled once.
import { once } from "node:events";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import http2 from "node:http2";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Gateway, say } from "../callers/caller.ts";
import { closeGrpcClients, grpc } from "../callers/grpc.ts";
import { type Command, writeCommand } from "../provider/command.ts";
import { type ConformanceProvider, startConformanceProvider } from "../provider/provider.ts";
import { DIALECTS, type MatrixRouter, startMatrixRouter } from "./router.ts";

/** How many callers leave in the last test; 10,000 take a minute. */
const LEAVING = Number(process.env.WEIR_LEAVING ?? 2_000);

/** Growth that is allowed, however many leave, in bytes: the provider of the test keeps the last calls that it saw. */
const ALLOWED_BYTES = 16 << 20;

let provider: ConformanceProvider;
let router: MatrixRouter;
let session: http2.ClientHttp2Session;

beforeAll(async () => {
  provider = await startConformanceProvider();
  router = await startMatrixRouter(provider.address);
  session = http2.connect(router.harness.address);
});

afterAll(async () => {
  session?.destroy();
  closeGrpcClients();
  await router?.close();
  await provider?.close();
});

/** When the caller leaves: what the provider does until then, and whether the caller sees content before. */
const MOMENTS = [
  { when: "before headers", command: { fault: "never" }, hasContent: false },
  { when: "before the first token", command: { fault: "stall", events: 0 }, hasContent: false },
  { when: "in mid-stream", command: { fault: "stall", events: 2 }, hasContent: true },
] as const satisfies readonly { when: string; command: Partial<Command>; hasContent: boolean }[];

const PATHS = { "chat-completions": "/v1/chat/completions", responses: "/v1/responses", messages: "/v1/messages" };
type HttpFormat = keyof typeof PATHS;

function compose(format: HttpFormat, model: string, command: string): string {
  const prompt = `How deep is the river? ${command}`;
  const messages = [{ role: "user", content: prompt }];
  if (format === "responses") return JSON.stringify({ model, input: prompt, stream: true });
  return JSON.stringify({ model, messages, stream: true, ...(format === "messages" && { max_tokens: 500 }) });
}

function toHeaders(format: HttpFormat): Record<string, string> {
  const { key } = router.harness;
  const credential: Record<string, string> =
    format === "messages"
      ? { "x-api-key": key, "anthropic-version": "2023-06-01" }
      : { authorization: `Bearer ${key}` };
  return { "content-type": "application/json", ...credential };
}

/** A caller who has asked and can leave. */
interface Caller {
  /** Resolves once some of the answer has come. */
  readonly content: Promise<unknown>;
  leave(): void;
}

function askHttp1(format: HttpFormat, model: string, command: string): Caller {
  const url = new URL(PATHS[format], router.harness.address);
  const request: ClientRequest = httpRequest(url, { method: "POST", headers: toHeaders(format) });
  request.on("error", () => undefined);
  request.end(compose(format, model, command));
  const content = once(request, "response").then(([response]) => {
    (response as IncomingMessage).on("error", () => undefined);
    return once(response as IncomingMessage, "data");
  });
  content.catch(() => undefined);
  return { content, leave: () => request.destroy() };
}

function askHttp2(format: HttpFormat, model: string, command: string): Caller {
  const stream = session.request({ ":method": "POST", ":path": PATHS[format], ...toHeaders(format) });
  stream.on("error", () => undefined);
  stream.end(compose(format, model, command));
  return { content: once(stream, "data"), leave: () => stream.close(http2.constants.NGHTTP2_CANCEL) };
}

function askGrpc(model: string, command: string): Caller {
  const gateway: Gateway = { origin: router.harness.address, key: router.harness.key, headers: {} };
  const abort = new AbortController();
  const turns = say(`How deep is the river? ${command}`);
  const content = Promise.withResolvers<void>();
  const asking = grpc.ask(gateway, { model, streamed: true, turns }, abort.signal, content.resolve);
  asking.catch(() => undefined);
  return { content: content.promise, leave: () => abort.abort() };
}

const WAYS = [
  ...(["chat-completions", "responses", "messages"] as const).flatMap((format) => [
    { way: `${format} over HTTP/1.1`, ask: (model: string, command: string) => askHttp1(format, model, command) },
    { way: `${format} over HTTP/2`, ask: (model: string, command: string) => askHttp2(format, model, command) },
  ]),
  { way: "gRPC", ask: askGrpc },
];

/** Asks, leaves at the moment, and waits for the provider and the ledger to notice. */
async function leave(ask: (typeof WAYS)[number]["ask"], model: string, moment: (typeof MOMENTS)[number], id: string) {
  const [left, calls] = [provider.left, router.ledger.count];
  const taken = provider.taken;
  const caller = ask(model, writeCommand({ ...moment.command, id }));
  await provider.whenTaken(taken + 1);
  if (moment.hasContent) await caller.content;
  caller.leave();
  await provider.whenLeft(left + 1);
  await router.ledger.whenCalls(calls + 1);
  return router.ledger.list().slice(calls);
}

describe.each(WAYS)("a caller of $way who leaves", ({ way, ask }) => {
  it.each(DIALECTS.flatMap(({ name }) => MOMENTS.map((moment) => ({ name, moment, when: moment.when }))))(
    "$when takes the call of $name along, and it is settled once",
    async ({ name, moment }) => {
      const id = `${way}-${name}-${moment.when}`.replaceAll(/\W/g, "-");
      const rows = await leave(ask, name, moment, id);

      expect(provider.find(id).map(({ state }) => state)).toEqual(["left"]);
      expect(rows).toMatchObject([{ usages: 1, records: 1, outcome: "CANCELLED", attempts: 1 }]);
      expect(rows[0]?.output === 0).toBe(!moment.hasContent);
    },
  );
});

/** Most that leave one connection: a server ends those on which more than a thousand streams were reset at once (rapid reset). */
const WAVE = 1_000;

/** Lets as many callers leave, sixteen at a time, by all ways, at all moments, from all dialects. */
async function leaveWave(count: number): Promise<void> {
  const left = provider.left;
  const calls = router.ledger.count;
  const numbers = Array.from({ length: count }, (_, index) => index).values();
  const work = async () => {
    for (const number of numbers) {
      const moment = MOMENTS[number % MOMENTS.length] as (typeof MOMENTS)[number];
      const way = WAYS[number % WAYS.length] as (typeof WAYS)[number];
      const dialect = DIALECTS[number % DIALECTS.length] as (typeof DIALECTS)[number];
      const id = `wave-${left}-${number}`;
      const caller = way.ask(dialect.name, writeCommand({ ...moment.command, id }));
      await provider.whenCall(id);
      if (moment.hasContent) await caller.content;
      caller.leave();
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  await provider.whenLeft(left + count);
  await router.ledger.whenCalls(calls + count);
  expect(router.ledger.list().filter(({ usages, records }) => usages !== 1 || records !== 1)).toEqual([]);
  router.ledger.forget();
  router.harness.logLines.length = 0;
  closeGrpcClients();
  session.close();
  await once(session, "close");
  session = http2.connect(router.harness.address);
}

it(`${LEAVING} callers who leave keep sockets, handles and memory flat`, async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const run = async (count: number) => {
    for (let done = 0; done < count; done += WAVE) await leaveWave(Math.min(WAVE, count - done));
    collect();
    const { heapUsed, arrayBuffers, external } = process.memoryUsage();
    const handles = process.getActiveResourcesInfo().filter((kind) => kind.startsWith("TCP")).length;
    return { memory: heapUsed + arrayBuffers + external, handles, connections: provider.connections };
  };
  // What the first ones leave is warmth: code that was compiled, buffers that grew, most of it within some thousand.
  await run(Math.max(500, LEAVING / 4));
  const before = await run(100);
  const after = await run(LEAVING);

  expect(provider.open).toBe(0);
  expect(router.harness.memory.usedBytes).toBe(0);
  expect(after.handles - before.handles).toBeLessThan(64);
  expect(after.connections - before.connections).toBeLessThan(64);
  expect(after.memory - before.memory).toBeLessThan(ALLOWED_BYTES);
}, 600_000);
