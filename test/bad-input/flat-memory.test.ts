// A router under a long run of callers who ask nonsense, or leave in the middle, keeps its memory: what it refuses or loses, it lets
// go.
import { createServer } from "node:http";
import net from "node:net";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";
import { readRssBytes, sendRaw } from "./raw.ts";

/** Growth allowed between two equal runs, bytes: what the heap takes before it is swept, with room for a loaded machine. */
const ALLOWED_BYTES = 96 << 20;
const MESSAGES = '"messages":[{"role":"user","content":"hello"}]';

let mesh: Mesh;
let url: string;

beforeAll(async () => {
  mesh = await startMesh({ name: "flat-memory" });
  url = mesh.routerUrl("eu");
});

afterAll(() => mesh?.stop());

function chat(body: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    body,
    ...init,
    headers: { authorization: `Bearer ${mesh.key}`, "content-type": "application/json", ...init.headers },
  });
}

/** Runs a load twice to warm up and twice more, and expects that the second pair needed no more memory than the first. */
async function expectFlat(load: () => Promise<void>): Promise<void> {
  const { pid } = mesh.processes["router-eu"];
  await load();
  await load();
  const before = readRssBytes(pid);
  await load();
  await load();
  expect(mesh.processes["router-eu"].pid).toBe(pid);
  expect(readRssBytes(pid) - before).toBeLessThan(ALLOWED_BYTES);
}

it("nonsense leaves nothing behind", async () => {
  const drain = (response: Response) => response.arrayBuffer();
  const large = `{"model":"no-such-model","messages":[{"role":"user","content":"${"x".repeat(1 << 20)}"}]}`;
  const deep = `{"model":"small","messages":${"[".repeat(200_000)}`;

  await expectFlat(async () => {
    for (let round = 0; round < 20; round += 1) {
      const name = `nonsense-${Math.random()}`;
      await Promise.all([
        chat(large).then(drain),
        chat(deep).then(drain),
        chat('{"model"').then(drain),
        chat(`{"model":"${name}",${MESSAGES}}`).then(drain),
        chat(`{"model":"small",${MESSAGES}}`, { headers: { authorization: `Bearer ${name}` } }).then(drain),
        fetch(`${url}/${name}`).then(drain),
        sendRaw(url, `GET / HTTP/1.1\r\nhost: x\r\nx-a: ${"y".repeat(65_536)}\r\n\r\n`),
        sendRaw(url, "nonsense\r\n\r\n"),
      ]);
    }
  });
});

it("callers who leave in the middle of a stream leave nothing behind, and the provider hears of each", async () => {
  await expectFlat(async () => {
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const abort = new AbortController();
          const body = `{"model":"scripted-long","stream":true,${MESSAGES}}`;
          const response = await chat(body, { signal: abort.signal });
          await response.body?.getReader().read();
          abort.abort();
        }),
      );
    }
  });

  await vi.waitFor(
    async () => {
      const page = await (await fetch(`${mesh.routerAdminUrl("eu")}/metrics`)).text();
      expect(page).toMatch(/^weir_router_chats_open 0$/m);
      const calls = (await mesh.bill()).calls.filter(({ model }) => model === "scripted-long");
      expect(calls).toHaveLength(400);
      expect(new Set(calls.map(({ status }) => status))).toEqual(new Set(["left by caller"]));
    },
    { timeout: 30_000, interval: 100 },
  );
});

it("callers who do not read make the router hold no more of their answers than its buffers", async () => {
  const provider = await startEndlessProvider();
  await mesh.publish(createEndlessPolicy(provider.port));
  const { pid } = mesh.processes["router-eu"];
  const before = readRssBytes(pid);
  const body = `{"model":"endless","stream":true,${MESSAGES}}`;
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${mesh.key}\r\ncontent-type: application/json\r\n`;

  const callers = Array.from({ length: 10 }, () => {
    const socket = net.connect(Number(new URL(url).port), "127.0.0.1").pause();
    socket.on("error", () => undefined).write(`${head}content-length: ${body.length}\r\n\r\n${body}`);
    return socket;
  });
  let sent = 0;
  await vi.waitFor(
    () => {
      const last = sent;
      sent = provider.countBytes();
      // It stands still once every buffer on the way is full.
      expect([sent > 10 << 20, sent]).toEqual([true, last]);
    },
    { timeout: 60_000, interval: 500 },
  );
  const grown = readRssBytes(pid) - before;
  for (const caller of callers) caller.destroy();
  await provider.stop();

  expect(grown).toBeLessThan(ALLOWED_BYTES);
});

/** A provider whose streams never end. It counts what it could write. */
async function startEndlessProvider() {
  const choices = [{ index: 0, delta: { content: "x".repeat(60_000) } }];
  const chunk = { id: "endless", object: "chat.completion.chunk", created: 1, model: "endless", choices };
  const event = `data: ${JSON.stringify(chunk)}\n\n`;
  let bytes = 0;
  const server = createServer((request, response) => {
    const write = () => {
      do bytes += event.length;
      while (response.write(event));
    };
    response.on("drain", write).on("error", () => undefined);
    request.resume().once("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      write();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { port: (server.address() as net.AddressInfo).port, countBytes: () => bytes, stop };
}

function createEndlessPolicy(port: number): unknown {
  const target = { id: "endless/endless", provider: "endless", model: "endless", prices: { input: "1", output: "1" } };
  return {
    organisation: "demo",
    regions: [{ id: "eu" }, { id: "us" }],
    providers: [
      { id: "endless", dialect: "DIALECT_OPENAI", baseUrl: `http://127.0.0.1:${port}/v1`, regions: ["eu", "us"] },
    ],
    targets: [target],
    models: [{ id: "endless", routes: [{ target: target.id }] }],
    organisations: [
      { id: "demo", teams: [{ id: "search", apps: [{ id: "assistant", environments: ["production"] }] }] },
    ],
  };
}
