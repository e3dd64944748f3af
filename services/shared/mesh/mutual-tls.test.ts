import { readFileSync } from "node:fs";
import https from "node:https";
import { join } from "node:path";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { Health as HealthProto } from "../../../gen/grpc/health/v1/health_pb.ts";
import { createLog } from "../telemetry/log.ts";
import { createMeshTransport } from "./client.ts";
import { Health } from "./health.ts";
import { createOperationsHandler } from "./operations.ts";
import { startMeshServer } from "./server.ts";
import type { Tls } from "./tls.ts";

const read = (name: string) => readFileSync(join(import.meta.dirname, "testdata", name));
const authorities = read("ca.pem");
const tls: Tls = { certificate: read("leaf.pem"), key: read("leaf.key"), authorities };
const closers: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A server that listens everywhere, under TLS. Returns its address on this machine. */
async function start(clients: "certified" | "anyone"): Promise<string> {
  const health = new Health();
  const metrics = { page: async () => "", contentType: "text/plain" };
  const server = await startMeshServer({
    listen: { host: "0.0.0.0", port: 0 },
    tls,
    clients,
    services: [],
    reflection: false,
    health,
    log: createLog({ service: "test", level: "silent" }),
    fallback: createOperationsHandler({ health, metrics }),
    routes: () => undefined,
  });
  closers.push(() => server.close());
  return `localhost:${server.address.port}`;
}

function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    https
      .get(url, { ca: authorities, agent: false }, (response) => resolve(response.resume().statusCode))
      .on("error", reject);
  });
}

function httpVersionOf(url: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    https
      .get(url, { ca: authorities, agent: false }, (response) => resolve(response.resume().httpVersion))
      .on("error", reject);
  });
}

describe("a server for the mesh beyond loopback", () => {
  it("admits a peer with a certificate of the mesh", async () => {
    const transport = createMeshTransport({ addresses: [await start("certified")], tls });
    closers.push(() => transport.close());

    const answer = await createClient(HealthProto, transport).check({});

    expect(answer.status).toBeDefined();
  });

  it("answers a peer without one how it is, and nothing else", async () => {
    const address = await start("certified");

    const healthy = await statusOf(`https://${address}/healthz`);
    const metrics = await statusOf(`https://${address}/metrics`);

    expect([healthy, metrics]).toEqual([200, 401]);
  });

  it("refuses a peer who speaks plain text", async () => {
    const address = await start("certified");
    const plain = createMeshTransport({ addresses: [address], waitForReady: false });
    closers.push(() => plain.close());

    const error = (await createClient(HealthProto, plain)
      .check({})
      .catch((failure: unknown) => failure)) as ConnectError;

    expect(error.code).toBe(Code.Unavailable);
  });
});

describe("a server for anyone beyond loopback", () => {
  it("answers HTTP/1.1 and HTTP/2 without asking for a certificate", async () => {
    const address = await start("anyone");
    const transport = createConnectTransport({
      baseUrl: `https://${address}`,
      httpVersion: "2",
      nodeOptions: { ca: authorities },
    });

    const version = await httpVersionOf(`https://${address}/healthz`);
    const answer = await createClient(HealthProto, transport).check({});

    expect([version, answer.status !== undefined]).toEqual(["1.1", true]);
  });
});
