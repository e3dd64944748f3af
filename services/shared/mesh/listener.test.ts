import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { END_HEADERS, FRAME, floodHttp2, GET_HEADERS, toHttp2Frame, toRapidReset } from "./http2-frames.fixture.ts";
import { type Listener, listen } from "./listener.ts";
import type { Tls } from "./tls.ts";

let listener: Listener;
let served = 0;

beforeAll(async () => {
  listener = await listen({
    listen: { host: "127.0.0.1", port: 0 },
    tls: undefined,
    mutual: false,
    limits: undefined,
    handler: (_request, response) => {
      served += 1;
      response.end("here");
    },
  });
});

afterAll(() => listener.close());

/** A neighbour's connection: it asks once before the flood, and once more after it. */
async function connectNeighbour() {
  const session = http2.connect(`http://127.0.0.1:${listener.address.port}`);
  const ask = async () => {
    const stream = session.request({ ":path": "/" }).setEncoding("utf8");
    let text = "";
    stream.on("data", (part: string) => {
      text += part;
    });
    await once(stream, "end");
    return text;
  };
  await ask();
  return { ask, close: () => session.close() };
}

const FRAMES = 100_000;
const setting = Buffer.from([0, 3, 0, 0, 0, 9]);

describe("a flood over HTTP/2", () => {
  it.each([
    ["streams that are given up at once", toRapidReset],
    ["pings", () => toHttp2Frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
    ["settings", () => toHttp2Frame(FRAME.settings, 0, 0, setting)],
    ["settings of a thousand entries", () => toHttp2Frame(FRAME.settings, 0, 0, Buffer.alloc(6_000, setting))],
    ["priorities", (number: number) => toHttp2Frame(FRAME.priority, 0, 2 * number + 1, Buffer.from([0, 0, 0, 0, 1]))],
    [
      "headers without an end",
      (number: number) =>
        number === 0
          ? toHttp2Frame(FRAME.headers, 1, 1, GET_HEADERS)
          : toHttp2Frame(FRAME.continuation, 0, 1, Buffer.from([0x40, 1, 0x61, 1, 0x62])),
    ],
    [
      "headers without an end or anything in them",
      (number: number) =>
        number === 0 ? toHttp2Frame(FRAME.headers, 1, 1, GET_HEADERS) : toHttp2Frame(FRAME.continuation, 0, 1),
    ],
    ["frames that nobody knows", () => toHttp2Frame(99, 0, 0, Buffer.alloc(8))],
  ])("of %s ends its connection and no other", async (_what, make) => {
    const neighbour = await connectNeighbour();

    const { isEnded, sent } = await floodHttp2(listener.address.port, FRAMES, make);

    expect({ isEnded, isEarly: sent <= FRAMES }).toEqual({ isEnded: true, isEarly: true });
    expect(await neighbour.ask()).toBe("here");
    neighbour.close();
  });

  it.each([
    ["credit", () => toHttp2Frame(FRAME.windowUpdate, 0, 0, Buffer.from([0, 0, 0, 1]))],
    [
      "data with nothing in it",
      (number: number) =>
        number === 0 ? toHttp2Frame(FRAME.headers, END_HEADERS, 1, GET_HEADERS) : toHttp2Frame(FRAME.data, 0, 1),
    ],
  ])("of %s does no harm", async (_what, make) => {
    const neighbour = await connectNeighbour();

    await floodHttp2(listener.address.port, FRAMES, make);

    expect(await neighbour.ask()).toBe("here");
    neighbour.close();
  });

  it("of streams that are given up reaches few of those who answer", async () => {
    served = 0;

    await floodHttp2(listener.address.port, FRAMES, toRapidReset);

    // Those that came with the thousandth are read before it is acted upon.
    expect(served).toBeLessThan(10_000);
  });
});

it("a caller who gives up hundreds of streams, and opens others meanwhile, keeps its connection", async () => {
  const session = http2.connect(`http://127.0.0.1:${listener.address.port}`);
  for (let round = 0; round < 9; round += 1) {
    const streams = Array.from({ length: 100 }, () => session.request({ ":path": "/" }));
    for (const stream of streams) stream.on("error", () => undefined).close(http2.constants.NGHTTP2_CANCEL);
    await Promise.all(streams.map((stream) => new Promise((resolve) => stream.once("close", resolve))));
  }

  const [headers] = (await once(session.request({ ":path": "/" }).resume(), "response")) as [http2.IncomingHttpHeaders];

  expect(headers[":status"]).toBe(200);
  session.close();
});

describe("drain()", () => {
  const read = (name: string) => readFileSync(join(import.meta.dirname, "testdata", name));
  const certificate = { certificate: read("leaf.pem"), key: read("leaf.key") };
  /** Nothing ends a silent connection but the drain. */
  const limits = { headersTimeoutMs: 3_600_000, requestTimeoutMs: 3_600_000 };
  const open = (tls: Tls | undefined) =>
    listen({
      listen: { host: "127.0.0.1", port: 0 },
      tls,
      mutual: false,
      limits,
      handler: (_request, response) => response.end("here"),
    });

  it("ends a connection that has sent nothing", async () => {
    const { address, drain } = await open(undefined);
    const silent = net.connect(address.port, address.host);
    await once(silent, "connect");

    const drained = drain();

    await once(silent, "close");
    await drained;
  });

  it.each(["http/1.1", "h2"])(
    "ends a connection under TLS that has sent nothing but which protocol: %s",
    async (protocol) => {
      const { address, drain } = await open(certificate);
      const silent = tls.connect({
        ...address,
        ca: read("ca.pem"),
        servername: "localhost",
        ALPNProtocols: [protocol],
      });
      await once(silent, "secureConnect");

      const drained = drain();

      await once(silent.resume(), "close");
      await drained;
    },
  );

  it("answers a connection whose first bytes are on their way when it begins", async () => {
    const { address, drain } = await open(undefined);
    const late = net.connect(address.port, address.host);
    await once(late, "connect");

    const drained = drain();
    late.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");

    expect(Buffer.concat(await late.toArray()).toString()).toMatch(/^HTTP\/1.1 200 OK.*here$/s);
    await drained;
  });
});
