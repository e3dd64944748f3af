import { execFile } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type ServiceImpl } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { HealthCheckResponse_ServingStatus, Health as HealthProto } from "../../../gen/grpc/health/v1/health_pb.ts";
import { GetWatermarkRequestSchema, IntakeService } from "../../../gen/weir/metering/v1/intake_service_pb.ts";
import { SpendService } from "../../../gen/weir/metering/v1/spend_service_pb.ts";
import { SnapshotService } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { createTestAuthority } from "../authority/authority.fixture.ts";
import { WeirError } from "../errors/weir-error.ts";
import { createLog } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { MOST_VALUES } from "../validation/few-values.ts";
import { toEnvelopes } from "./envelope.ts";
import { Health } from "./health.ts";
import { createOperationsHandler } from "./operations.ts";
import { type MeshServer, type MeshServerOptions, startMeshServer } from "./server.ts";

const REQUEST = { region: "eu", instance: "eu-1", boot: "b1" };
const PATH = "/weir.metering.v1.IntakeService/GetWatermark";
const log = createLog({ service: "test", level: "silent" });
/** A field that nobody knows, again and again: of each a decoder makes an object. */
const MANY_FIELDS = Buffer.alloc(2 * MOST_VALUES + 2, Buffer.from([0x78, 0x00]));

let server: MeshServer;
const closers: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Watches: one heartbeat, then nothing until they are ended. */
const SNAPSHOTS: Partial<ServiceImpl<typeof SnapshotService>> = {
  async *watchSnapshots(_, { signal }) {
    yield { piece: { case: "heartbeat", value: {} } };
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  },
};

/** A server of two small services. Watermarks: region "boom" throws, "hang" waits for its signal, else 7. */
async function start(options: Partial<MeshServerOptions> = {}): Promise<{ url: string; health: Health }> {
  const health = new Health();
  const metrics = createMetrics("metering", { process: false });
  server = await startMeshServer({
    authority: createTestAuthority(),
    listen: { host: "127.0.0.1", port: 0 },
    services: [IntakeService, SnapshotService],
    reflection: true,
    health,
    log,
    metrics,
    fallback: createOperationsHandler({ health, metrics }),
    routes(router) {
      router.service(IntakeService, {
        async getWatermark({ region }, { signal }) {
          if (region === "boom") throw new Error("password=hunter2");
          if (region === "away") throw new WeirError("UNAVAILABLE", "Cannot read watermark: the database is away");
          if (region === "hang")
            await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
          return { seq: 7n };
        },
      });
      router.service(SnapshotService, SNAPSHOTS);
    },
    ...options,
  });
  closers.push(() => server.close());
  return { url: `http://127.0.0.1:${server.address.port}`, health };
}

function post(url: string, body: string | Buffer, headers: Record<string, string> = {}) {
  return fetch(url + PATH, {
    method: "POST",
    body: new Uint8Array(Buffer.from(body)),
    headers: { "content-type": "application/json", ...headers },
  });
}

async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => Promise.reject(new Error("Cannot find a failure: the call succeeded")),
    (error: unknown) => ConnectError.from(error),
  );
}

const TRANSPORTS = {
  "Connect over HTTP/1.1": (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
  "Connect over HTTP/2": (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  "gRPC over HTTP/2": (baseUrl: string) => createGrpcTransport({ baseUrl }),
  "gRPC-Web over HTTP/1.1": (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  "gRPC-Web over HTTP/2": (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
};

describe("one port", () => {
  it.each(Object.entries(TRANSPORTS))("answers %s", async (_, createTransport) => {
    const { url } = await start();
    const client = createClient(IntakeService, createTransport(url));

    const answer = await client.getWatermark(REQUEST);

    expect(answer.seq).toBe(7n);
  });

  it.each(Object.entries(TRANSPORTS))("sends violations and reason over %s", async (_, createTransport) => {
    const { url } = await start();
    const client = createClient(IntakeService, createTransport(url));

    const error = await failureOf(client.getWatermark({ region: "Not A Region", instance: "x\0y", boot: "b" }));

    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "ARGUMENT_INVALID", domain: "weir" }]);
    const fields = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations.map((v) => v.field));
    expect(new Set(fields)).toEqual(new Set(["region", "instance"]));
  });

  it.each(Object.entries(TRANSPORTS))(
    "says UNIMPLEMENTED of a service it lacks over %s",
    async (_, createTransport) => {
      const { url } = await start();
      const client = createClient(SpendService, createTransport(url));

      const error = await failureOf(client.querySpend({ organisation: "demo" }));

      expect(error.code === Code.Unimplemented || error.code === Code.NotFound).toBe(true);
    },
  );

  it("hides what an exception says", async () => {
    const { url } = await start();
    const client = createClient(IntakeService, createGrpcTransport({ baseUrl: url }));

    const error = await failureOf(client.getWatermark({ ...REQUEST, region: "boom" }));

    expect(error.code).toBe(Code.Internal);
    expect(error.message).not.toContain("hunter2");
  });

  it("answers buf curl with reflection of both versions", async () => {
    const { url } = await start();
    const root = join(import.meta.dirname, "../../..");
    const buf = (...parameters: string[]) =>
      promisify(execFile)(
        join(root, "node_modules/.bin/buf"),
        ["curl", "--http2-prior-knowledge", "--protocol", "grpc", ...parameters],
        {
          cwd: root,
          env: { ...process.env, HOME: process.env.HOME ?? "/tmp" },
        },
      );

    for (const version of ["grpc-v1", "grpc-v1alpha"]) {
      const methods = await buf("--list-methods", "--reflect-protocol", version, url);
      const answer = await buf("--reflect-protocol", version, "-d", JSON.stringify(REQUEST), url + PATH);

      expect(methods.stdout).toContain("weir.policy.v1.SnapshotService/WatchSnapshots");
      expect(JSON.parse(answer.stdout)).toEqual({ seq: "7" });
    }
  }, 30_000);
});

describe("health", () => {
  it("follows readiness in Check, Watch, List and /readyz", async () => {
    const { url, health } = await start();
    const client = createClient(HealthProto, createGrpcTransport({ baseUrl: url }));
    const watch = client.watch({ service: "weir.metering.v1.IntakeService" })[Symbol.asyncIterator]();

    const before = await client.check({});
    const first = await watch.next();
    const unready = await fetch(`${url}/readyz`);
    health.setReady("all is well");
    const second = await watch.next();
    const list = await client.list({});
    const ready = await fetch(`${url}/readyz`);

    const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
    expect([before.status, first.value?.status, second.value?.status]).toEqual([NOT_SERVING, NOT_SERVING, SERVING]);
    expect(list.statuses["weir.policy.v1.SnapshotService"]?.status).toBe(SERVING);
    expect([unready.status, await unready.json()]).toEqual([503, { ready: false, reason: "starting" }]);
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, reason: "all is well" }]);
  });

  it("knows no unknown service", async () => {
    const { url } = await start();
    const client = createClient(HealthProto, createGrpcTransport({ baseUrl: url }));

    const error = await failureOf(client.check({ service: "nobody" }));

    expect(error.code).toBe(Code.NotFound);
  });
});

describe("plain HTTP", () => {
  it("serves liveness and metrics, and 404 and 405 with a body", async () => {
    const { url } = await start();
    await post(url, JSON.stringify(REQUEST));

    const alive = await fetch(`${url}/healthz`);
    const metrics = await fetch(`${url}/metrics`);
    const missing = await fetch(`${url}/nothing`);
    const wrong = await fetch(`${url}/healthz`, { method: "POST" });

    expect(await alive.json()).toEqual({ status: "alive" });
    expect(await metrics.text()).toContain(
      'rpc_server_call_duration_seconds_count{rpc_method="weir.metering.v1.IntakeService/GetWatermark",rpc_response_status_code="OK"} 1',
    );
    expect([missing.status, wrong.status]).toEqual([404, 405]);
    expect(await missing.json()).toMatchObject({ code: "not_found" });
  });

  it("hands requests to `first` before RPCs, over both versions of HTTP", async () => {
    const { url } = await start({
      first(request, response) {
        if (request.url !== "/v1/models") return false;
        response.end(`first over ${request.httpVersion}`);
        return true;
      },
    });

    const h1 = await (await fetch(`${url}/v1/models`)).text();
    const session = http2.connect(url);
    const stream = session.request({ ":path": "/v1/models" });
    const h2 = Buffer.concat(await stream.toArray()).toString();
    session.close();
    const rpc = await post(url, JSON.stringify(REQUEST));

    expect([h1, h2, rpc.status]).toEqual(["first over 1.1", "first over 2.0", 200]);
  });
});

describe("a connection", () => {
  it.each([["POST /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]])(
    "is told by its first bytes, however they are cut: %j",
    async (text) => {
      await start();
      const socket = net.connect({ port: server.address.port, host: "127.0.0.1", noDelay: true });
      await once(socket, "connect");
      for (const byte of text) await new Promise((written) => socket.write(byte, written));

      const [first] = (await once(socket, "data")) as [Buffer];
      socket.destroy();

      // A frame of HTTP/2 begins with its length, and SETTINGS (type 4) comes first (RFC 9113, section 3.4).
      expect(text.startsWith("PRI") ? first[3] : first.toString("latin1", 0, 12)).toBe(
        text.startsWith("PRI") ? 4 : "HTTP/1.1 404",
      );
    },
  );

  it("of which a handler throws hears 500, and the process lives on", async () => {
    let calls = 0;
    const { url } = await start({
      first() {
        calls += 1;
        if (calls === 1) throw new Error("password=hunter2");
        return false;
      },
    });

    const failed = await fetch(`${url}/healthz`);
    const alive = await fetch(`${url}/healthz`);

    expect([failed.status, alive.status]).toEqual([500, 200]);
    expect(await failed.text()).not.toContain("hunter2");
  });
});

describe("bad input", () => {
  it.each([
    ["an unknown field", '{"region":"eu","instance":"eu-1","boot":"b1","lmiit":1}'],
    ["broken JSON", '{"region":'],
    ["wrong types", '{"region":[1]}'],
    ["deep JSON", `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`],
    ["invalid UTF-8", Buffer.from([...Buffer.from('{"region":"'), 0xff, 0xfe, ...Buffer.from('"}')])],
    ["UTF-8 that is cut", Buffer.from([...Buffer.from('{"region":"'), 0xe2, 0x82])],
    ["an empty body", ""],
  ])("refuses %s with a message", async (_, body) => {
    const { url } = await start();

    const response = await post(url, body);

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "invalid_argument", message: expect.stringMatching(/./) });
  });

  it("answers a compressed message, whole and in an envelope", async () => {
    const { url } = await start();
    const zipped = gzipSync(toBinary(GetWatermarkRequestSchema, create(GetWatermarkRequestSchema, REQUEST)));
    const envelope = toEnvelopes([zipped]);
    envelope[0] = 1;

    const whole = await post(url, zipped, { "content-type": "application/proto", "content-encoding": "gzip" });
    const enveloped = await post(url, envelope, { "content-type": "application/grpc-web", "grpc-encoding": "gzip" });

    expect(whole.status).toBe(200);
    expect(await enveloped.text()).toContain("grpc-status: 0");
  });

  it("refuses what is no gzip though it says so, whole and in an envelope", async () => {
    const { url } = await start();
    const envelope = toEnvelopes([Buffer.from("no gzip")]);
    envelope[0] = 1;

    const whole = await post(url, "no gzip", { "content-encoding": "gzip" });
    const enveloped = await post(url, envelope, { "content-type": "application/grpc-web", "grpc-encoding": "gzip" });

    expect(await whole.json()).toMatchObject({ code: "invalid_argument" });
    expect(await enveloped.text()).toContain(`grpc-status: ${Code.InvalidArgument}`);
  });

  it("refuses a message over the limit, also when it is small until decompressed", async () => {
    const { url } = await start({ readMaxBytes: 1000 });
    const large = JSON.stringify({ ...REQUEST, region: "e".repeat(100_000) });

    const plain = await post(url, large);
    const zipped = await post(url, gzipSync(large), { "content-encoding": "gzip" });

    expect(await plain.json()).toMatchObject({ code: "resource_exhausted" });
    expect(await zipped.json()).toMatchObject({ code: "resource_exhausted" });
  });

  it.each([
    ["JSON", "application/json", Buffer.from(`[${"{},".repeat(MOST_VALUES)}1]`)],
    ["binary", "application/proto", MANY_FIELDS],
    ["gRPC-Web", "application/grpc-web+proto", toEnvelopes([MANY_FIELDS])],
    ["gRPC-Web whose type is in capitals", "APPLICATION/GRPC-WEB+PROTO", toEnvelopes([MANY_FIELDS])],
  ])("refuses many values in few bytes before they become objects: %s", async (_, type, body) => {
    const { url } = await start();

    const refused = await post(url, body, { "content-type": type });

    expect((await refused.text()).replaceAll("%20", " ")).toContain("has more than 300000 values");
  });

  it("refuses a second message of many values before it becomes objects, as the first", async () => {
    const { url } = await start();

    const refused = await post(url, toEnvelopes([Buffer.alloc(0), MANY_FIELDS]), {
      "content-type": "application/grpc-web",
    });

    expect((await refused.text()).replaceAll("%20", " ")).toContain("has more than 300000 values");
  });

  it("refuses a body that has become too large before it has ended, and gathers no more of it", async () => {
    const { url } = await start({ readMaxBytes: 1_000 });
    const request = http.request(`${url}${PATH}`, { method: "POST", headers: { "content-type": "application/proto" } });
    request.write(Buffer.alloc(2_000));

    const [response] = (await once(request, "response")) as [http.IncomingMessage];

    expect(response.statusCode).toBe(429);
    request.destroy();
  });

  it("refuses many values in few bytes also when they are compressed, whole and in an envelope", async () => {
    const { url } = await start();
    const zipped = gzipSync(MANY_FIELDS);
    const envelope = toEnvelopes([zipped]);
    envelope[0] = 1;

    const whole = await post(url, zipped, { "content-type": "application/proto", "content-encoding": "gzip" });
    const enveloped = await post(url, envelope, { "content-type": "application/grpc-web", "grpc-encoding": "gzip" });

    expect(await whole.json()).toMatchObject({ code: "resource_exhausted" });
    expect(await enveloped.text()).toContain(`grpc-status: ${Code.ResourceExhausted}`);
  });

  it.each([
    "GET / HTTP/1.1\r\n\r\n",
    "nonsense\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
    "P",
  ])("answers or closes %j and lives on", async (text) => {
    const { url } = await start({ limits: { headersTimeoutMs: 300 } });
    const socket = net.connect(server.address.port, "127.0.0.1");
    socket.write(text);

    const answer = Buffer.concat(await socket.toArray()).toString();
    const alive = await fetch(`${url}/healthz`);

    expect(answer === "" || answer.startsWith("HTTP/1.1 400")).toBe(true);
    expect(alive.status).toBe(200);
  });

  it.each(["a b", "[", "x:99999"])("answers an RPC whose authority is %j and lives on", async (host) => {
    const { url } = await start();
    const { port } = server.address;

    const request = http.request({
      port,
      path: PATH,
      method: "POST",
      headers: { host, "content-type": "application/json" },
    });
    request.end("{}");
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    const alive = await fetch(`${url}/healthz`);

    expect([response.statusCode, alive.status]).toEqual([400, 200]);
  });

  it("answers a good request before the broken one that follows it", async () => {
    await start();
    const socket = net.connect(server.address.port, "127.0.0.1");
    socket.write("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\nnonsense\r\n\r\n");

    const answer = Buffer.concat(await socket.toArray()).toString();

    expect(answer).toMatch(/^HTTP\/1.1 200 .*HTTP\/1.1 400 /s);
  });

  it.each([
    ["two hosts", "host: x\r\nHost: x\r\n\r\n", 400],
    ["an encoding under its chunks", "host: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400],
    [
      "an encoding and chunks in two headers",
      "host: x\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    ["chunks in chunks", "host: x\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400],
    ["chunks in capitals, which are chunks", "host: x\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n", 404],
  ])("answers a head with %s as RFC 9112 has it", async (_, rest, status) => {
    await start();
    const socket = net.connect(server.address.port, "127.0.0.1");
    socket.end(`POST / HTTP/1.1\r\n${rest}`);

    const answer = Buffer.concat(await socket.toArray()).toString();

    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  it("lets the answer to a request's head arrive when its body turns out broken", async () => {
    await start({
      first(_, response) {
        response.writeHead(401, { connection: "close" }).end("no key");
        return true;
      },
    });
    const socket = net.connect(server.address.port, "127.0.0.1");
    socket.write("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n");

    const answer = Buffer.concat(await socket.toArray()).toString();

    expect(answer).toMatch(/^HTTP\/1.1 401 .*no key/s);
  });

  it("answers slow headers with 408", async () => {
    await start({ limits: { headersTimeoutMs: 200 } });
    const socket = net.connect(server.address.port, "127.0.0.1");
    socket.write("POST / HTTP/1.1\r\nhost: x\r\n");

    const answer = Buffer.concat(await socket.toArray()).toString();

    expect(answer).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n.*"code":"request_timeout"/s);
  });

  it("answers a slow body with 408 over HTTP/1.1 and HTTP/2", async () => {
    const { url } = await start({ limits: { headersTimeoutMs: 200, requestTimeoutMs: 300 } });
    const socket = net.connect(server.address.port, "127.0.0.1");
    socket.write(`POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{`);
    const session = http2.connect(url);
    const stream = session.request({ ":method": "POST", ":path": PATH, "content-type": "application/json" });
    const responded = once(stream, "response");
    const closed = once(stream, "close");
    stream.on("error", () => undefined).write("{");

    const answer = Buffer.concat(await socket.toArray()).toString();
    const [headers] = await responded;
    await closed;
    session.close();

    expect(answer).toMatch(/^HTTP\/1.1 408/);
    expect(headers[":status"]).toBe(408);
  });

  it("answers a flood of headers with 431", async () => {
    await start();
    const socket = net.connect(server.address.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(`GET / HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(20_000)}\r\n\r\n`);

    const answer = Buffer.concat(await socket.toArray()).toString();

    expect(answer).toMatch(/^HTTP\/1.1 431/);
  });
});

describe("drain()", () => {
  it("lets a call in flight finish, ends watches with DRAINING, and says not serving", async () => {
    const finish = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const { url } = await start({
      routes(router) {
        router.service(IntakeService, {
          async getWatermark() {
            arrived.resolve();
            await finish.promise;
            return { seq: 7n };
          },
        });
        router.service(SnapshotService, SNAPSHOTS);
      },
    });
    const transport = createGrpcTransport({ baseUrl: url });
    const watch = createClient(SnapshotService, transport).watchSnapshots(REQUEST)[Symbol.asyncIterator]();
    await watch.next();
    const health = createClient(HealthProto, transport).watch({})[Symbol.asyncIterator]();
    await health.next();
    const call = createClient(IntakeService, transport).getWatermark(REQUEST);
    await arrived.promise;

    const drained = server.drain(60_000);
    const cut = await failureOf(watch.next());
    const healthEnd = await health.next();
    finish.resolve();
    const answer = await call;
    await drained;

    expect(cut.findDetails(ErrorInfoSchema)[0]?.reason).toBe("DRAINING");
    expect(healthEnd.done).toBe(true);
    expect(answer.seq).toBe(7n);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  it("cuts what outlasts the deadline, with UNAVAILABLE", async () => {
    const { url } = await start();
    const client = createClient(IntakeService, createGrpcTransport({ baseUrl: url }));
    const call = failureOf(client.getWatermark({ ...REQUEST, region: "hang" }));
    await new Promise((resolve) => setImmediate(resolve));
    await client.getWatermark(REQUEST);

    await server.drain(1);

    expect((await call).code).toBe(Code.Unavailable);
  });

  it("first takes the connections that wait to be accepted", async () => {
    const { url } = await start();
    const calls = Array.from({ length: 20 }, () => http.get(`${url}/healthz`, { agent: false }));
    const answers = Promise.all(
      calls.map(async (call) => {
        const [response] = (await once(call, "response")) as [http.IncomingMessage];
        response.resume();
        return [response.statusCode, response.headers.connection];
      }),
    );
    // The kernel has connected them all once they have asked it to, before this loop looks at its sockets.
    while (calls.some((call) => call.socket?.connecting !== true)) await new Promise(process.nextTick);

    const drained = server.drain(60_000);

    expect(await answers).toEqual(calls.map(() => [200, "close"]));
    await drained;
  });

  it("closes idle connections of HTTP/1.1", async () => {
    const { url } = await start();
    const agent = new http.Agent({ keepAlive: true });
    const request = http.get(`${url}/healthz`, { agent });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    await once(response, "end");

    await server.drain(60_000);

    agent.destroy();
  });
});

it("shares its port when each that listens there says so, and with nobody else", async () => {
  await start({ reusePort: true });
  const { port } = server.address;
  const listen = { host: "127.0.0.1", port };

  const shared = await start({ listen, reusePort: true });
  const refused = start({ listen });

  expect(shared.url).toMatch(new RegExp(`:${port}$`));
  await expect(refused).rejects.toMatchObject({ code: "EADDRINUSE" });
});

it("refuses to listen beyond loopback without TLS", async () => {
  const refused = start({ listen: { host: "0.0.0.0", port: 0 } });

  await expect(refused).rejects.toMatchObject({ reason: "SETTING_INVALID" });
});
