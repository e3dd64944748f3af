import { createServer } from "node:net";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { IntakeService } from "../../../gen/weir/metering/v1/intake_service_pb.ts";
import { SnapshotService } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { createTestAuthority } from "../authority/authority.fixture.ts";
import { WeirError } from "../errors/weir-error.ts";
import { fromConnectError } from "../errors/wire.ts";
import { createLog } from "../telemetry/log.ts";
import { createMeshTransport, type MeshTransportOptions } from "./client.ts";
import { Health } from "./health.ts";
import { startMeshServer } from "./server.ts";

const REQUEST = { region: "eu", instance: "eu-1", boot: "b1" };
const log = createLog({ service: "test", level: "silent" });
const closers: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Seen {
  header?: string | null;
  aborted?: Promise<void>;
}

/** A server of two small services that answers watermarks with `seq`. */
async function start(seq = 7n, port = 0) {
  const seen: Seen = {};
  const server = await startMeshServer({
    authority: createTestAuthority(),
    listen: { host: "127.0.0.1", port },
    services: [IntakeService, SnapshotService],
    reflection: false,
    health: new Health(),
    log,
    routes(router) {
      router.service(IntakeService, {
        async getWatermark({ region }, { signal, requestHeader, responseHeader, responseTrailer }) {
          seen.header = requestHeader.get("x-test");
          responseHeader.set("x-answer", "head");
          responseTrailer.set("x-trailer", "tail");
          if (region === "full") {
            throw new WeirError("SPOOL_FULL", "Cannot take: 100% full: really, at/once", {
              facts: { size: "1" },
              retryAfterMs: 50,
            });
          }
          if (region === "hang") {
            seen.aborted = new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
            await seen.aborted;
          }
          return { seq };
        },
      });
      router.service(SnapshotService, {
        async *watchSnapshots(_, { signal }) {
          seen.aborted = new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
          for (let index = 0; index < 3; index += 1) yield { piece: { case: "heartbeat", value: {} } };
          await seen.aborted;
        },
      });
    },
  });
  closers.push(() => server.close());
  return { server, seen, address: `127.0.0.1:${server.address.port}` };
}

function transportTo(addresses: string[], options: Partial<MeshTransportOptions> = {}) {
  const transport = createMeshTransport({ addresses, ...options });
  closers.push(() => transport.close());
  return transport;
}

async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => Promise.reject(new Error("Cannot find a failure: the call succeeded")),
    (error: unknown) => error as ConnectError,
  );
}

/** A port on which nobody listens. */
async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("a unary call", () => {
  it("carries metadata both ways and gives the typed answer", async () => {
    const { address, seen } = await start();
    const client = createClient(IntakeService, transportTo([address]));
    const received: Record<string, string | null> = {};

    const answer = await client.getWatermark(REQUEST, {
      headers: { "x-test": "1" },
      onHeader(headers) {
        received.head = headers.get("x-answer");
      },
      onTrailer(trailers) {
        received.tail = trailers.get("x-trailer");
      },
    });

    expect([answer.seq, seen.header, received]).toEqual([7n, "1", { head: "head", tail: "tail" }]);
  });

  it("gives back the server's reason, message, facts and delay", async () => {
    const { address } = await start();
    const client = createClient(IntakeService, transportTo([address]));

    const error = fromConnectError(await failureOf(client.getWatermark({ ...REQUEST, region: "full" })));

    expect(error).toMatchObject({
      reason: "SPOOL_FULL",
      message: "Cannot take: 100% full: really, at/once",
      facts: { size: "1" },
      retryAfterMs: 50,
    });
  });

  it("gives back the fields at fault", async () => {
    const { address } = await start();
    const client = createClient(IntakeService, transportTo([address]));

    const error = await failureOf(client.getWatermark({ ...REQUEST, region: "NO" }));

    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe("region");
  });

  it("ends at its deadline, and the server hears of it", async () => {
    const { address, seen } = await start();
    const client = createClient(IntakeService, transportTo([address]));

    const error = await failureOf(client.getWatermark({ ...REQUEST, region: "hang" }, { timeoutMs: 200 }));
    await seen.aborted;

    expect(error.code).toBe(Code.DeadlineExceeded);
  });

  it("ends when its signal aborts, and the server hears of it", async () => {
    const { address, seen } = await start();
    const client = createClient(IntakeService, transportTo([address]));
    const abort = new AbortController();
    const call = failureOf(client.getWatermark({ ...REQUEST, region: "hang" }, { signal: abort.signal }));
    await client.getWatermark(REQUEST);

    abort.abort();
    await seen.aborted;

    expect((await call).code).toBe(Code.Canceled);
  });

  it("is refused at once with a signal that has aborted", async () => {
    const client = createClient(IntakeService, transportTo(["127.0.0.1:1"]));

    const error = await failureOf(client.getWatermark(REQUEST, { signal: AbortSignal.abort() }));

    expect(error.code).toBe(Code.Canceled);
  });

  it("fails with UNAVAILABLE, without addresses, when nobody listens and it need not wait", async () => {
    const port = await findFreePort();
    const client = createClient(IntakeService, transportTo([`127.0.0.1:${port}`], { waitForReady: false }));

    const error = await failureOf(client.getWatermark(REQUEST));

    expect(error.code).toBe(Code.Unavailable);
    expect(error.message).not.toContain(String(port));
  });

  it("waits for a server that is not there yet", async () => {
    const port = await findFreePort();
    const client = createClient(IntakeService, transportTo([`127.0.0.1:${port}`]));
    const call = client.getWatermark(REQUEST, { timeoutMs: 20_000 });

    await start(9n, port);

    expect((await call).seq).toBe(9n);
  });

  it("takes a server that dies in the middle for UNAVAILABLE, not for a cancel", async () => {
    const { address, server } = await start();
    const client = createClient(IntakeService, transportTo([address]));
    const call = failureOf(client.getWatermark({ ...REQUEST, region: "hang" }));
    await client.getWatermark(REQUEST);

    await server.close();

    expect((await call).code).toBe(Code.Unavailable);
  });
});

describe("several addresses", () => {
  it("are called in turn", async () => {
    const [one, two] = [await start(1n), await start(2n)];
    const client = createClient(IntakeService, transportTo([one.address, two.address]));

    const seqs = new Set<bigint>();
    // A balancer begins with those that are connected already, so the second may join late.
    while (seqs.size < 2) seqs.add((await client.getWatermark(REQUEST)).seq);

    expect(seqs).toEqual(new Set([1n, 2n]));
  });

  it("may be names, of which one is dead", async () => {
    const { address, server } = await start(3n);
    const dead = await findFreePort();
    const client = createClient(IntakeService, transportTo([`localhost:${dead}`, `localhost:${server.address.port}`]));

    const answer = await client.getWatermark(REQUEST);

    expect([answer.seq, address]).toEqual([3n, address]);
  });
});

describe("a server stream", () => {
  it("gives each message, ends when its signal aborts, and the server hears of it", async () => {
    const { address, seen } = await start();
    const client = createClient(SnapshotService, transportTo([address]));
    const abort = new AbortController();
    const stream = client.watchSnapshots(REQUEST, { signal: abort.signal })[Symbol.asyncIterator]();
    const cases: unknown[] = [];
    for (let index = 0; index < 3; index += 1) cases.push((await stream.next()).value?.piece.case);

    abort.abort();
    const error = await failureOf(stream.next());
    await seen.aborted;

    expect([cases, error.code]).toEqual([["heartbeat", "heartbeat", "heartbeat"], Code.Canceled]);
  });

  it("fails with UNAVAILABLE when the server goes away", async () => {
    const { address, server } = await start();
    const client = createClient(SnapshotService, transportTo([address]));
    const stream = client.watchSnapshots(REQUEST)[Symbol.asyncIterator]();
    for (let index = 0; index < 3; index += 1) await stream.next();

    void server.close();
    const error = await failureOf(stream.next());

    expect(error.code).toBe(Code.Unavailable);
  });
});

it.each([[[]], [["nonsense"]], [["host:99999"]]])("createMeshTransport() refuses addresses %j", (addresses) => {
  expect(() => createMeshTransport({ addresses })).toThrow(WeirError);
});
