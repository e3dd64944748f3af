// `npm run bench:leaving -- [callers]`: how soon a provider sees that the caller is gone. Callers and provider are this process, so that one
// clock tells both ends; the router is one of its own, from disk. Of each way and moment the time from the caller's closing to the
// provider's noticing is printed; a call that is noticed never ends the run with an error.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HOST } from "../../cli/up/layout.ts";
import { NODE_FLAGS } from "../../services/shared/node-flags.ts";
import { writeDiskPolicy } from "./contenders/disk-policy.ts";
import { accepts, ROOT } from "./setup.ts";

/** How many callers leave, of each way at each moment. */
const CALLERS = Number(process.argv[2] ?? 500);
/** How many are there at a time: those of a busy router, whose event loop they share. */
const WIDTH = 32;
/** Longest that anything is waited for, milliseconds. */
const PATIENCE_MS = 30_000;

const CONTENT = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}\n\n';
const ROLE = 'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}\n\n';
/** What the provider has done when the caller leaves. After that it is silent: nothing but the caller's leaving ends the call. */
const MOMENTS = { "before headers": "", "before the first token": ROLE, "in mid-stream": ROLE + CONTENT } as const;
type Moment = keyof typeof MOMENTS;
const WAYS = ["HTTP/1.1", "HTTP/2"] as const;

/** Calls by the id in their prompt: hear that the provider has them, and that it sees them left, with the time. */
const waiting = new Map<string, { readonly onTaken: () => void; readonly onLeft: (atMs: number) => void }>();

function startProvider() {
  const server = createServer((request, response: ServerResponse) => {
    let body = "";
    request.setEncoding("utf8").on("data", (part: string) => {
      body += part;
    });
    request.once("end", () => {
      const [, id = "", moment = ""] = /\[(\d+)\|([^\]]+)\]/.exec(body) ?? [];
      const call = waiting.get(id);
      response.once("close", () => call?.onLeft(performance.now()));
      const words = MOMENTS[moment as Moment];
      if (words !== "") response.writeHead(200, { "content-type": "text/event-stream" }).write(words);
      call?.onTaken();
    });
  });
  return new Promise<typeof server>((resolve) => server.listen(0, HOST, () => resolve(server)));
}

async function findFreePort(): Promise<number> {
  const server = net.createServer().listen(0, HOST);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function startRouter(environment: Record<string, string>, port: number): Promise<ChildProcess> {
  const admin = await findFreePort();
  const child = spawn(process.execPath, [...NODE_FLAGS, join(ROOT, "services/router/main.ts")], {
    env: { ...process.env, ...environment, WEIR_LISTEN: `${HOST}:${port}`, WEIR_ADMIN_LISTEN: `${HOST}:${admin}` },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const untilMs = performance.now() + PATIENCE_MS;
  const isReady = async () => (await accepts(port)) && (await fetch(`http://${HOST}:${admin}/readyz`)).ok;
  while (!(await isReady())) {
    if (performance.now() > untilMs || child.exitCode !== null)
      throw new Error("Cannot start: the router is not ready");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return child;
}

let asked = 0;

/** Asks, leaves at the moment, and returns after how many milliseconds the provider saw it. */
async function leave(
  way: (typeof WAYS)[number],
  moment: Moment,
  router: { port: number; key: string; session: http2.ClientHttp2Session },
) {
  const id = String(asked++);
  const taken = Promise.withResolvers<void>();
  const left = Promise.withResolvers<number>();
  waiting.set(id, { onTaken: taken.resolve, onLeft: left.resolve });
  const body = JSON.stringify({
    model: "small",
    stream: true,
    messages: [{ role: "user", content: `[${id}|${moment}]` }],
  });
  const content = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    const error = new Error(`Cannot go on: call ${id} ${moment} was not taken, or not seen to be left`);
    for (const { reject } of [taken, content, left]) reject(error);
  }, PATIENCE_MS);
  const close = way === "HTTP/1.1" ? askHttp1(router, body, content.resolve) : askHttp2(router, body, content.resolve);
  await taken.promise;
  if (moment === "in mid-stream") await content.promise;
  const closedAtMs = performance.now();
  close();
  const seenAtMs = await left.promise;
  clearTimeout(timer);
  waiting.delete(id);
  return seenAtMs - closedAtMs;
}

function askHttp1({ port, key }: { port: number; key: string }, body: string, onContent: () => void): () => void {
  const socket = net.connect(port, HOST);
  socket.on("error", () => undefined).on("data", (part) => void (part.includes("Hello") && onContent()));
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n`;
  socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  return () => socket.destroy();
}

function askHttp2(
  { session, key }: { session: http2.ClientHttp2Session; key: string },
  body: string,
  onContent: () => void,
) {
  const headers = { ":method": "POST", ":path": "/v1/chat/completions", authorization: `Bearer ${key}` };
  const stream = session.request({ ...headers, "content-type": "application/json" });
  stream.on("error", () => undefined).on("data", (part: Buffer) => void (part.includes("Hello") && onContent()));
  stream.end(body);
  return () => stream.close(http2.constants.NGHTTP2_CANCEL);
}

function print(way: string, moment: string, delays: number[]): void {
  delays.sort((a, b) => a - b);
  const at = (share: number) =>
    (delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? 0).toFixed(2);
  console.log(
    `${way.padEnd(9)} ${moment.padEnd(23)} p50 ${at(0.5)}  p95 ${at(0.95)}  p99 ${at(0.99)}  most ${at(1)} ms`,
  );
}

const folder = mkdtempSync(join(tmpdir(), "weir-leaving-"));
const provider = await startProvider();
const { keys, environment } = writeDiskPolicy(
  folder,
  { provider: { port: (provider.address() as AddressInfo).port } },
  {},
);
const port = await findFreePort();
const child = await startRouter(environment, port);
try {
  console.log(`${CALLERS} callers leave of each kind, ${WIDTH} at a time`);
  for (const way of WAYS) {
    for (const moment of Object.keys(MOMENTS) as Moment[]) {
      const session = http2.connect(`http://${HOST}:${port}`);
      const delays: number[] = [];
      const numbers = Array.from({ length: CALLERS }).values();
      const work = async () => {
        for (const _ of numbers) delays.push(await leave(way, moment, { port, key: keys[0] as string, session }));
      };
      await Promise.all(Array.from({ length: WIDTH }, work));
      print(way, moment, delays);
      session.destroy();
    }
  }
} finally {
  child.kill("SIGTERM");
  await once(child, "exit");
  provider.closeAllConnections();
  provider.close();
  rmSync(folder, { recursive: true });
}
