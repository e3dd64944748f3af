import { once } from "node:events";
import http2 from "node:http2";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import {
  GetWatermarkRequestSchema,
  GetWatermarkResponseSchema,
  IntakeService,
} from "../../../gen/weir/metering/v1/intake_service_pb.ts";
import { createTestAuthority } from "../authority/authority.fixture.ts";
import { createLog } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { toEnvelopes } from "./envelope.ts";
import { Health } from "./health.ts";
import type { HotCall } from "./hot-rpc.ts";
import { type MeshServer, startMeshServer } from "./server.ts";

const METHOD = "weir.metering.v1.IntakeService/GetWatermark";
const BODY = toEnvelopes([
  toBinary(GetWatermarkRequestSchema, {
    $typeName: "weir.metering.v1.GetWatermarkRequest",
    region: "eu",
    instance: "eu-1",
    boot: "b1",
  }),
]);
const answer = (seq: bigint) =>
  toEnvelopes([toBinary(GetWatermarkResponseSchema, { $typeName: "weir.metering.v1.GetWatermarkResponse", seq })]);

let server: MeshServer;
let session: http2.ClientHttp2Session | undefined;
afterEach(async () => {
  session?.destroy();
  await server.close();
});

/** A server whose hot handler answers 1, and its library's handler 2. */
async function start(open: (call: HotCall) => void = (call) => call.end(answer(1n))) {
  const logLines: string[] = [];
  const metrics = createMetrics("metering", { process: false });
  server = await startMeshServer({
    authority: createTestAuthority(),
    listen: { host: "127.0.0.1", port: 0 },
    services: [IntakeService],
    reflection: false,
    health: new Health(),
    log: createLog({ service: "test", level: "error", destination: { write: (line) => void logLines.push(line) } }),
    metrics,
    routes: (router) => router.service(IntakeService, { getWatermark: () => ({ seq: 2n }) }),
    hot: [{ method: IntakeService.method.getWatermark, open }],
  });
  session = http2.connect(`http://127.0.0.1:${server.address.port}`);
  session.on("error", () => undefined);
  return { metrics, logLines };
}

async function ask(headers: http2.OutgoingHttpHeaders = {}, body = BODY) {
  const stream = session!.request({
    ":method": "POST",
    ":path": `/${METHOD}`,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  stream.on("error", () => undefined);
  stream.end(body);
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on("trailers", (got) => {
    trailers = got;
  });
  const [said] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  const data = Buffer.concat(await stream.toArray());
  const isGrpc = String(said["content-type"]).startsWith("application/grpc");
  const seq = isGrpc && data.length >= 5 ? fromBinary(GetWatermarkResponseSchema, data.subarray(5)).seq : undefined;
  return { status: said[":status"], headers: said, trailers, seq };
}

describe("a hot method", () => {
  it.each([
    ["application/grpc", {}],
    ["application/grpc+proto", { "content-type": "application/grpc+proto" }],
    ["an identity encoding", { "grpc-encoding": "identity" }],
    ["a deadline", { "grpc-timeout": "10S" }],
  ])("is served by its own handler: %s", async (_, headers) => {
    await start();

    expect(await ask(headers)).toMatchObject({ seq: 1n, trailers: { "grpc-status": "0" } });
  });

  it.each([
    ["a content type in capitals", { "content-type": "Application/grpc" }, 200],
    ["JSON", { "content-type": "application/grpc+json" }, 200],
    ["Connect, to which this body is no message", { "content-type": "application/proto" }, 400],
    ["compression", { "grpc-encoding": "gzip" }, 200],
    ["a query", { ":path": `/${METHOD}?a` }, 200],
    ["a deadline that is none", { "grpc-timeout": "soon" }, 200],
    ["another method", { ":method": "PUT" }, 405],
  ])("is left to the library otherwise: %s", async (_, headers, status) => {
    let opened = 0;
    await start(() => {
      opened += 1;
    });

    expect((await ask(headers)).status).toBe(status);
    expect(opened).toBe(0);
  });

  it("is measured as by the library", async () => {
    const { metrics } = await start();

    await ask();
    await ask({ "content-type": "application/grpc+proto", ":path": `/${METHOD}?by-the-library` });

    const page = await metrics.page();
    expect(page).toContain(
      `rpc_server_call_duration_seconds_count{rpc_method="${METHOD}",rpc_response_status_code="OK"} 2`,
    );
  });

  it("hides what its handler throws, and logs it", async () => {
    const { logLines } = await start(() => {
      throw new Error("password=hunter2");
    });

    const { trailers } = await ask();

    expect(trailers["grpc-status"]).toBe("13");
    expect(JSON.stringify(trailers)).not.toContain("hunter2");
    expect(logLines.join()).toContain("RPC failed");
  });

  it("tells its calls that the instance is draining when their time is over", async () => {
    const opened = Promise.withResolvers<HotCall>();
    await start((call) => opened.resolve(call));
    const asked = ask();
    const call = await opened.promise;
    let gone = 0;
    call.listen({ onDrain: () => undefined, onGone: () => (gone += 1) });

    await server.drain(0);

    const { trailers } = await asked;
    expect([trailers["grpc-status"], gone, call.isOver]).toEqual(["14", 1, true]);
  });

  it("says at once that the caller is gone to who listens later", async () => {
    const opened = Promise.withResolvers<HotCall>();
    await start((call) => opened.resolve(call));
    ask().catch(() => undefined);
    const call = await opened.promise;
    const closed = new Promise<void>((resolve) => call.onClosed(resolve));
    session?.destroy();
    await closed;
    let gone = 0;

    call.listen({ onDrain: () => undefined, onGone: () => (gone += 1) });
    call.end(answer(1n));

    expect(gone).toBe(1);
  });
});
