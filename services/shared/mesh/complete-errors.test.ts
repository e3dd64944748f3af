import http2 from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorFromJsonBytes } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { trailerParse } from "@connectrpc/connect/protocol-grpc-web";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { IntakeService } from "../../../gen/weir/metering/v1/intake_service_pb.ts";
import { createTestAuthority } from "../authority/authority.fixture.ts";
import { createLog } from "../telemetry/log.ts";
import { Health } from "./health.ts";
import { type MeshServer, startMeshServer } from "./server.ts";

const PATH = "/weir.metering.v1.IntakeService/GetWatermark";

let server: MeshServer;
let url: string;

beforeAll(async () => {
  server = await startMeshServer({
    authority: createTestAuthority(),
    listen: { host: "127.0.0.1", port: 0 },
    services: [IntakeService],
    reflection: false,
    health: new Health(),
    readMaxBytes: 1_000,
    log: createLog({ service: "test", level: "silent" }),
    routes: (router) => router.service(IntakeService, { getWatermark: () => ({ seq: 7n }) }),
  });
  url = `http://127.0.0.1:${server.address.port}`;
});

afterAll(() => server.close());

const UNKNOWN_FIELD = Buffer.from('{"x":1}');
const BROKEN_PROTO = Buffer.from([0xff, 0xff]);
const BAD_UTF8_PROTO = Buffer.from([0x0a, 0x02, 0xff, 0xfe]);
const LARGE = Buffer.from(JSON.stringify({ region: "x".repeat(2_000) }));

function envelope(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([prefix, message]);
}

async function post(type: string, body: Buffer): Promise<{ status: number; bytes: Buffer }> {
  const response = await fetch(url + PATH, {
    method: "POST",
    body: new Uint8Array(body),
    headers: { "content-type": type },
  });
  return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()) };
}

function facts(error: ConnectError | undefined): [code: string, reason: string | undefined] {
  return [Code[error?.code ?? 0] ?? "none", error?.findDetails(ErrorInfoSchema)[0]?.reason];
}

const CASES: [name: string, kind: "json" | "proto", body: Buffer, code: string, reason: string][] = [
  ["a field nobody knows", "json", UNKNOWN_FIELD, "InvalidArgument", "BODY_MALFORMED"],
  ["binary that does not parse", "proto", BROKEN_PROTO, "InvalidArgument", "BODY_MALFORMED"],
  ["binary with bytes that are not UTF-8", "proto", BAD_UTF8_PROTO, "InvalidArgument", "BODY_MALFORMED"],
  ["a message over the limit", "json", LARGE, "ResourceExhausted", "BODY_TOO_LARGE"],
];

describe.each(CASES)("the library's refusal of %s names its reason", (_, kind, body, code, reason) => {
  it("over Connect, with the right status", async () => {
    const { status, bytes } = await post(`application/${kind}`, body);

    const error = errorFromJsonBytes(bytes, undefined, new ConnectError("unreadable"));
    expect([status, ...facts(error)]).toEqual([code === "InvalidArgument" ? 400 : 429, code, reason]);
  });

  it("over gRPC-Web", async () => {
    const { bytes } = await post(`application/grpc-web+${kind}`, envelope(body));

    expect(bytes[0]).toBe(0x80);
    expect(facts(findTrailerError(trailerParse(bytes.subarray(5))))).toEqual([code, reason]);
  });

  it("over gRPC", async () => {
    const session = http2.connect(url);
    const headers = { ":method": "POST", ":path": PATH, "content-type": `application/grpc+${kind}`, te: "trailers" };
    const stream = session.request(headers);
    const trailers = new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once("trailers", resolve));
    stream.end(envelope(body));
    stream.resume();

    const received = Object.entries(await trailers).map(([key, value]): [string, string] => [key, String(value)]);
    session.close();

    expect(facts(findTrailerError(new Headers(received)))).toEqual([code, reason]);
  });
});

it("an answer that is no error is not touched", async () => {
  const { status, bytes } = await post("application/json", Buffer.from('{"region":"eu","instance":"a","boot":"b"}'));

  expect([status, JSON.parse(bytes.toString())]).toEqual([200, { seq: "7" }]);
});

it("a path and method that are no RPC's stay what they were", async () => {
  const response = await fetch(url + PATH, { method: "DELETE" });

  expect(response.status).toBe(405);
});
