import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import type { IntakeService } from "../../gen/weir/audit/v1/intake_service_pb.ts";
import { CredentialService } from "../../gen/weir/policy/v1/credential_service_pb.ts";
import { ExplainService } from "../../gen/weir/policy/v1/explain_service_pb.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { ReleaseService } from "../../gen/weir/policy/v1/release_service_pb.ts";
import {
  SnapshotService,
  type WatchSnapshotsRequest,
  type WatchSnapshotsResponse,
} from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { TenantService } from "../../gen/weir/policy/v1/tenant_service_pb.ts";
import { startNats, startPostgres, type TestNats, type TestPostgres } from "../../test/parts.ts";
import { createTestAuthority, TEST_ADMIN_KEY } from "../shared/authority/authority.fixture.ts";
import type { Authority } from "../shared/authority/authority.ts";
import { connectBus } from "../shared/bus/bus.ts";
import { type Clock, systemClock } from "../shared/clock.ts";
import { createPool, type Pool } from "../shared/database/pool.ts";
import { createMeshTransport } from "../shared/mesh/client.ts";
import { Health } from "../shared/mesh/health.ts";
import { startMeshServer } from "../shared/mesh/server.ts";
import { createSigner, type NoteSigner, type NoteVerifier, parseVerifierKey } from "../shared/note/note.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { samplePolicy, type samplePolicyJson } from "./compilation/policy.fixture.ts";
import { createPolicyInstance } from "./policy.ts";
import { migrateStore } from "./store/migrate-store.ts";

const log = createLog({ service: "policy", level: process.env.TEST_LOG ?? "fatal" });
const defaultSigner = createSigner("weir.test/policy", new Uint8Array(32).fill(7));

/** Whom tests trust. */
export const verifier: NoteVerifier = parseVerifierKey(defaultSigner.verifierKey);

/** A PostgreSQL and a NATS for the tests of a file. */
export interface PolicyHarness {
  readonly postgres: TestPostgres;
  readonly nats: TestNats;
  readonly pool: Pool;
  /** Empties the database. */
  reset(): Promise<void>;
  /** Starts an instance of policy on them. It is stopped by `reset` and `stop`. */
  start(options?: {
    readonly clock?: Clock;
    readonly watermark?: () => bigint;
    readonly signer?: NoteSigner;
    /** Who may do what. Default: {@link TEST_ADMIN_KEY} everything. */
    readonly authority?: Authority;
  }): Promise<TestInstance>;
  stop(): Promise<void>;
}

/** An instance of policy that serves, and clients of it over real gRPC. */
export type TestInstance = Awaited<ReturnType<typeof startInstance>>;

/** Starts the parts. */
export async function startHarness(): Promise<PolicyHarness> {
  const [postgres, nats] = await Promise.all([startPostgres(), startNats()]);
  const url = postgres.url("policy");
  const pool = createPool({ url, log });
  const instances = new Set<TestInstance>();
  const stopInstances = async () => {
    await Promise.all([...instances].map((instance) => instance.stop()));
    instances.clear();
  };
  return {
    postgres,
    nats,
    pool,
    async reset() {
      await stopInstances();
      await pool.query("drop schema public cascade");
      await pool.query("create schema public");
      await migrateStore({ url, clock: systemClock, log, signal: AbortSignal.timeout(30_000) });
    },
    async start(options = {}) {
      const instance = await startInstance({ url, natsUrl: nats.url, ...options });
      instances.add(instance);
      return instance;
    },
    async stop() {
      await stopInstances();
      await pool.end();
      await Promise.all([postgres.stop(), nats.stop()]);
    },
  };
}

async function startInstance(options: {
  readonly url: string;
  readonly natsUrl: string;
  readonly clock?: Clock;
  readonly watermark?: () => bigint;
  readonly signer?: NoteSigner;
  readonly authority?: Authority;
}) {
  const {
    clock = systemClock,
    watermark = () => 0n,
    signer = defaultSigner,
    authority = createTestAuthority(),
  } = options;
  const stopping = new AbortController();
  const health = new Health();
  const pool = createPool({ url: options.url, log });
  const bus = await connectBus({ urls: [options.natsUrl], name: "policy", log });
  const intake = { getWatermark: async () => ({ seq: watermark() }) } as never as ReturnType<
    typeof createClient<typeof IntakeService>
  >;
  const policy = createPolicyInstance({
    pool,
    signer,
    bus,
    auditBus: bus,
    intake,
    clock,
    health,
    log,
    reconnectGraceMs: 0,
  });
  const server = await startMeshServer({
    listen: { host: "127.0.0.1", port: 0 },
    authority,
    routes: policy.routes,
    services: policy.services,
    hot: policy.hot,
    reflection: true,
    health,
    log,
  });
  const running = policy.run(stopping.signal);
  for await (const { ready } of health.watch(AbortSignal.timeout(20_000))) if (ready) break;
  const addresses = [`127.0.0.1:${server.address.port}`];
  const transport = createMeshTransport({ addresses, token: () => TEST_ADMIN_KEY });
  const routers = createMeshTransport({ addresses });
  let isStopped = false;
  return {
    pool,
    address: addresses[0] as string,
    policies: createClient(PolicyService, transport),
    keys: createClient(KeyService, transport),
    tenants: createClient(TenantService, transport),
    credentials: createClient(CredentialService, transport),
    routerCredentials: createClient(CredentialService, routers),
    snapshots: createClient(SnapshotService, routers),
    releases: createClient(ReleaseService, transport),
    explain: createClient(ExplainService, transport),
    async stop() {
      if (isStopped) return;
      isStopped = true;
      stopping.abort();
      transport.close();
      routers.close();
      await server.close();
      await running;
      await bus.close();
      await pool.end();
    },
  };
}

/** Publishes the sample after a change to it. */
export async function publishSample(
  { policies }: Pick<TestInstance, "policies">,
  change?: (json: ReturnType<typeof samplePolicyJson>) => void,
  rest: {
    readonly requestId?: string;
    readonly expectedVersion?: bigint;
    readonly comment?: string;
    readonly allAtOnce?: boolean;
  } = {},
) {
  return await policies.publishPolicy({ requestId: randomUUID(), ...rest, policy: samplePolicy(change) });
}

/** Makes a key that may ask for everything. */
export async function makeSampleKey({ keys }: Pick<TestInstance, "keys">, rest: { readonly requestId?: string } = {}) {
  return await keys.createKey({
    requestId: randomUUID(),
    displayName: "sample",
    organisation: "acme",
    team: "web",
    app: "search",
    environment: "production",
    models: ["*"],
    ...rest,
  });
}

/** A watch as a test reads it. */
export class TestWatch {
  readonly #ending = new AbortController();
  readonly #pieces: AsyncIterator<WatchSnapshotsResponse>;

  constructor(
    { snapshots }: TestInstance,
    held: Partial<
      Pick<
        WatchSnapshotsRequest,
        "region" | "instance" | "boot" | "snapshotVersion" | "snapshotDigest" | "keyringVersion" | "keyringDigest"
      >
    > = {},
  ) {
    this.#pieces = snapshots
      .watchSnapshots(
        { region: "eu", instance: "eu-1", boot: "b1", ...held },
        { signal: this.#ending.signal, timeoutMs: 0 },
      )
      [Symbol.asyncIterator]();
  }

  /** The next piece, heartbeats left out. */
  async next(): Promise<Exclude<WatchSnapshotsResponse["piece"], { case: "heartbeat" | undefined }>> {
    for (;;) {
      const { piece } = await this.nextAny();
      if (piece.case !== "heartbeat" && piece.case !== undefined) return piece;
    }
  }

  /** The next piece, whatever it is. */
  async nextAny(): Promise<WatchSnapshotsResponse> {
    const result = await this.#pieces.next();
    if (result.done) throw new Error("Cannot read the watch: it has ended");
    return result.value;
  }

  /** Hangs up. */
  end(): void {
    this.#ending.abort();
  }
}
