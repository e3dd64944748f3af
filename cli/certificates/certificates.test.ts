import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Dimension, SpendService } from "../../gen/weir/metering/v1/spend_service_pb.ts";
import { SnapshotKind, SnapshotPhase, SnapshotService } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { createTestAuthority, TEST_ADMIN_KEY } from "../../services/shared/authority/authority.fixture.ts";
import type { ServiceName } from "../../services/shared/authority/identity.ts";
import { ManualClock, systemClock } from "../../services/shared/clock.ts";
import { fromConnectError } from "../../services/shared/errors/wire.ts";
import { createMeshTransport } from "../../services/shared/mesh/client.ts";
import { toEnvelopes } from "../../services/shared/mesh/envelope.ts";
import { Health } from "../../services/shared/mesh/health.ts";
import { openTls } from "../../services/shared/mesh/open-tls.ts";
import { startMeshServer } from "../../services/shared/mesh/server.ts";
import type { ClientTls } from "../../services/shared/mesh/tls.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { WATCH_INTERVAL_MS } from "../../services/shared/watch-file.ts";
import { addAuthority, bundlePath, readAuthorities } from "./authorities.ts";
import { type CertificateOptions, issueCertificate, listCertificates, renewCertificates } from "./certificates.ts";

const DAY_MS = 86_400_000;
const log = createLog({ service: "test", level: "silent" });
const closers: (() => unknown)[] = [];
let directory: string;
let stopping: AbortController;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-certificates-"));
  stopping = new AbortController();
});

afterEach(async () => {
  stopping.abort();
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(directory, { recursive: true, force: true });
});

const nowMs = () => systemClock.nowMs();
const TTL_MS = 7 * DAY_MS;
const options = (rest: Partial<CertificateOptions> = {}) => ({
  directory,
  overlapMs: 0,
  nowMs: nowMs(),
  ...rest,
});

function nameOf(service: ServiceName, region: string, instance: string, trustDomain = "weir.test") {
  return { trustDomain, service: { kind: "service", service, region, instance } } as const;
}

/** Issues a certificate and opens it as a service would. */
async function open(
  name: ReturnType<typeof nameOf>,
  { ttlMs = TTL_MS, ...rest }: Partial<CertificateOptions & { readonly ttlMs: number }> = {},
  clock = new ManualClock(nowMs()),
) {
  const issued = await issueCertificate({ name, hosts: ["localhost"], ttlMs }, options(rest));
  const folder = join(rest.directory ?? directory, issued.folder);
  const settings = {
    WEIR_TLS_CERTIFICATE: join(folder, "tls.crt"),
    WEIR_TLS_KEY: join(folder, "tls.key"),
    WEIR_TLS_CLIENT_CA: bundlePath(directory),
  };
  const tls = openTls({ settings, clock, log, signal: stopping.signal });
  if (tls === undefined) throw new Error("Cannot open the certificate: there is none");
  return { tls, clock };
}

/** A control plane that listens everywhere, and answers whoever may ask. */
async function startControlPlane() {
  const { tls, clock } = await open(nameOf("policy", "control", "policy-1"));
  const server = await startMeshServer({
    listen: { host: "0.0.0.0", port: 0 },
    tls,
    authority: createTestAuthority(),
    services: [SnapshotService, SpendService],
    routes: (router) =>
      router
        .service(SnapshotService, {
          reportSnapshot: () => ({}),
          async *watchSnapshots(_, { signal }) {
            yield {};
            await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          },
        })
        .service(SpendService, { querySpend: () => ({}), listLedgerEntries: () => ({}) }),
    reflection: false,
    health: new Health(),
    log,
  });
  closers.push(() => server.close());
  return { address: `localhost:${server.address.port}`, clock };
}

function connect(address: string, tls: ClientTls | undefined, token?: string) {
  const transport = createMeshTransport({
    addresses: [address],
    tls,
    waitForReady: false,
    defaultTimeoutMs: 20_000,
    ...(token !== undefined && { token: () => token }),
  });
  closers.push(() => transport.close());
  const snapshots = createClient(SnapshotService, transport);
  const spend = createClient(SpendService, transport);
  return {
    snapshots,
    report: () =>
      snapshots.reportSnapshot({
        region: "eu",
        instance: "eu-1",
        boot: "b1",
        kind: SnapshotKind.SNAPSHOT,
        phase: SnapshotPhase.APPLIED,
      }),
    query: () => spend.querySpend({ organisation: "acme", groupBy: [Dimension.TEAM] }),
  };
}

const outcomeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "answered",
    (error: unknown) => fromConnectError(error).reason,
  );

describe("a control plane beyond loopback", () => {
  it("S1: knows a router by its certificate, and lets it act for itself and its region only", async () => {
    const { address } = await startControlPlane();
    const asks = async (...name: Parameters<typeof nameOf>) =>
      await outcomeOf(connect(address, (await open(nameOf(...name))).tls).report());

    expect(await asks("router", "eu", "eu-1")).toBe("answered");
    expect(await asks("router", "us", "eu-1")).toBe("PERMISSION_DENIED");
    expect(await asks("router", "eu", "eu-2")).toBe("PERMISSION_DENIED");
    expect(await asks("audit", "eu", "eu-1")).toBe("PERMISSION_DENIED");
    expect(await asks("metering", "control", "eu-1")).toBe("PERMISSION_DENIED");
  });

  it("refuses certificates that have ended, are of another mesh, or of an authority of others", async () => {
    const { address } = await startControlPlane();
    const router = nameOf("router", "eu", "eu-1");
    const elsewhere = join(directory, "elsewhere");
    const old = await open(router, { nowMs: nowMs() - 2 * DAY_MS, ttlMs: DAY_MS });
    const ended = await outcomeOf(connect(address, { ...old.tls }).report());
    const other = await outcomeOf(
      connect(address, (await open(nameOf("router", "eu", "eu-1", "other.test"))).tls).report(),
    );
    const foreign = await outcomeOf(connect(address, (await open(router, { directory: elsewhere })).tls).report());

    expect([ended, other, foreign]).toEqual(["UNAVAILABLE", "IDENTITY_MISSING", "UNAVAILABLE"]);
  });

  it("lets an operator in by token without a certificate, and nobody without either", async () => {
    const { address } = await startControlPlane();
    const { authorities } = (await open(nameOf("router", "eu", "eu-1"))).tls;
    const tls: ClientTls = authorities === undefined ? {} : { authorities };

    expect(await outcomeOf(connect(address, tls, TEST_ADMIN_KEY).query())).toBe("answered");
    expect(await outcomeOf(connect(address, tls).query())).toBe("IDENTITY_MISSING");
    expect(await outcomeOf(connect(address, tls).report())).toBe("IDENTITY_MISSING");
    expect(await outcomeOf(connect(address, tls, TEST_ADMIN_KEY).report())).toBe("PERMISSION_DENIED");
  });
});

it("a certificate takes the place of one of its own name, and of no other whose folder would be the same", async () => {
  const first = { name: nameOf("router", "eu-router-a", "b"), hosts: [], ttlMs: TTL_MS };
  await issueCertificate(first, options());

  const second = { ...first, name: nameOf("router", "eu", "a-router-b") };
  await expect(issueCertificate(second, options())).rejects.toThrow(
    "is that of spiffe://weir.test/region/eu-router-a/router/b",
  );

  await issueCertificate(first, options());
  expect(listCertificates(directory)).toMatchObject([{ name: first.name }]);
});

it("a connection ends with the certificate of its peer, who is asked to connect anew (GOAWAY) before", async () => {
  const { address } = await startControlPlane();
  const { tls } = await open(nameOf("router", "eu", "eu-1"), { ttlMs: 2_500 });
  const { certificate: cert, key, authorities: ca } = tls;
  const session = http2.connect(`https://${address}`, { cert, key, ...(ca && { ca }) });
  closers.push(() => session.destroy());

  const [code] = await once(session, "goaway");

  expect(code).toBe(http2.constants.NGHTTP2_NO_ERROR);
});

it("a watch ends with the certificate of its peer, also of one who stays after it was asked to go", async () => {
  const { address } = await startControlPlane();
  const { tls } = await open(nameOf("router", "eu", "eu-1"), { ttlMs: 2_500 });
  const { certificate: cert, key, authorities: ca } = tls;
  const session = http2.connect(`https://${address}`, { cert, key, ...(ca && { ca }) });
  closers.push(() => session.destroy());
  const path = "/weir.policy.v1.SnapshotService/WatchSnapshots";
  const watch = session.request({ ":method": "POST", ":path": path, "content-type": "application/connect+json" });
  watch.end(toEnvelopes([Buffer.from(JSON.stringify({ region: "eu", instance: "eu-1", boot: "b1" }))]));
  const [piece] = await once(watch, "data");

  await Promise.all([once(session, "goaway"), once(session, "close")]);

  expect([piece.length > 0, watch.closed]).toEqual([true, true]);
});

it("a token is sent to nobody in plain text beyond loopback", () => {
  expect(() => createMeshTransport({ addresses: ["192.0.2.1:7400"], token: () => "t" })).toThrow(
    "a token is not sent in plain text",
  );
});

describe("renewing", () => {
  it("keeps what is good, renews from half of a life on, and changes neither name nor hosts", async () => {
    const made = nowMs();
    await issueCertificate(
      { name: nameOf("router", "eu", "eu-1"), hosts: ["localhost", "10.0.0.1"], ttlMs: TTL_MS },
      options({ nowMs: made }),
    );

    const early = await renewCertificates(options({ nowMs: made + 3 * DAY_MS }));
    const late = await renewCertificates(options({ nowMs: made + 4 * DAY_MS }));
    const again = await renewCertificates(options({ nowMs: made + 4 * DAY_MS }));

    expect([early.renewed, late.renewed, again.renewed]).toEqual([[], ["eu-router-eu-1"], []]);
    expect(listCertificates(directory)).toMatchObject([
      { name: nameOf("router", "eu", "eu-1"), hosts: ["localhost", "10.0.0.1"] },
    ]);
  });

  it("gives each certificate as long a life as it had, however often, or the one that is asked for", async () => {
    let atMs = nowMs();
    for (const [instance, ttlMs] of [
      ["eu-1", DAY_MS],
      ["eu-2", TTL_MS],
    ] as const) {
      await issueCertificate({ name: nameOf("router", "eu", instance), hosts: [], ttlMs }, options({ nowMs: atMs }));
    }
    const lives = () => listCertificates(directory).map(({ ttlMs }) => ttlMs);

    for (let time = 0; time < 3; time += 1) {
      atMs += 4 * DAY_MS;
      await renewCertificates(options({ nowMs: atMs }));
    }
    const kept = lives();
    await renewCertificates({ ...options({ nowMs: atMs + 4 * DAY_MS }), ttlMs: DAY_MS / 2 });

    expect([kept, lives()]).toEqual([
      [DAY_MS, TTL_MS],
      [DAY_MS / 2, DAY_MS / 2],
    ]);
  });

  it("keeps keys where only their owner reads them", async () => {
    await issueCertificate({ name: nameOf("router", "eu", "eu-1"), hosts: [], ttlMs: TTL_MS }, options());

    const keys = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".key"));

    expect(keys.map((name) => statSync(join(directory, name)).mode & 0o777)).toEqual([0o600, 0o600]);
  });

  it("S4: takes another authority under load without one failed call, and trusts the old one no more", async () => {
    const { address, clock } = await startControlPlane();
    const router = await open(nameOf("router", "eu", "eu-1"));
    const old = await open(nameOf("router", "eu", "eu-1"), { directory });
    const steady = connect(address, router.tls);
    const outcomes: string[] = [];
    let isOver = false;
    let round = Promise.withResolvers<void>();
    const load = (async () => {
      while (!isOver) {
        outcomes.push(await outcomeOf(steady.report()));
        // A connection of its own, so that each step is met by a handshake.
        outcomes.push(await outcomeOf(connect(address, router.tls).report()));
        round.resolve();
        round = Promise.withResolvers();
      }
    })();
    const look = async () => {
      for (const each of [clock, router.clock]) {
        await each.whenSleeping(1);
        each.advance(WATCH_INTERVAL_MS);
        await each.whenSleeping(1);
      }
      // A step is taken when nobody is left in a handshake that began before it: the one under way ends, and another begins and ends.
      await round.promise;
      await round.promise;
    };

    await look();
    await addAuthority(directory, "weir.test", nowMs());
    await look();
    const { renewed } = await renewCertificates(options());
    await look();
    const { retired } = await renewCertificates(options());
    await look();
    isOver = true;
    await load;

    expect([renewed, retired]).toEqual([["control-policy-policy-1", "eu-router-eu-1"], [1]]);
    expect([outcomes.length > 0, new Set(outcomes)]).toEqual([true, new Set(["answered"])]);
    expect(await outcomeOf(connect(address, { ...old.tls, ...readNewBundle() }).report())).toBe("UNAVAILABLE");
  });
});

function readNewBundle(): Pick<ClientTls, "authorities"> {
  return {
    authorities: Buffer.from(
      readAuthorities(directory)
        .map(({ pem }) => pem.certificate)
        .join(""),
    ),
  };
}
