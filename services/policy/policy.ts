import type { DescService } from "@bufbuild/protobuf";
import type { Client, ConnectRouter } from "@connectrpc/connect";
import type { IntakeService } from "../../gen/weir/audit/v1/intake_service_pb.ts";
import { CredentialService } from "../../gen/weir/policy/v1/credential_service_pb.ts";
import { ExplainService } from "../../gen/weir/policy/v1/explain_service_pb.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { ReleaseService } from "../../gen/weir/policy/v1/release_service_pb.ts";
import { SnapshotService } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { TenantService } from "../../gen/weir/policy/v1/tenant_service_pb.ts";
import type { Bus } from "../shared/bus/bus.ts";
import { type Clock, pause } from "../shared/clock.ts";
import type { Pool } from "../shared/database/pool.ts";
import { createBootId } from "../shared/ids.ts";
import type { Health } from "../shared/mesh/health.ts";
import type { HotMethod } from "../shared/mesh/hot-rpc.ts";
import type { NoteSigner } from "../shared/note/note.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import { createCredentialService } from "./credential-service.ts";
import { CurrentPolicy } from "./current-policy.ts";
import { createPublishedRelay, createRecordRelay } from "./distribution/announce.ts";
import { Attendance } from "./distribution/attendance.ts";
import { Catalogue } from "./distribution/catalogue.ts";
import { SecondRoad } from "./distribution/second-road.ts";
import { TrafficDesk } from "./distribution/traffic-desk.ts";
import { Wakes } from "./distribution/wake.ts";
import { watchPieces } from "./distribution/watch.ts";
import { createWatchSurface, type Watch } from "./distribution/watch-surface.ts";
import { WholeQueue } from "./distribution/whole-queue.ts";
import { createExplainService } from "./explain-service.ts";
import { fillKeyIndex } from "./fill-key-index.ts";
import { createKeyService } from "./key-service.ts";
import { PolicyWorker } from "./offloading/policy-worker.ts";
import { createPolicyService } from "./policy-service.ts";
import { ReleaseDriver } from "./release-driver.ts";
import { createReleaseService } from "./release-service.ts";
import { createSnapshotService } from "./snapshot-service.ts";
import { findKeyringDigest } from "./store/keyrings.ts";
import { listenForChanges } from "./store/listen.ts";
import { createTenantService } from "./tenant-service.ts";

/** What an instance of policy is made of. */
export interface PolicyOptions {
  readonly pool: Pool;
  readonly signer: NoteSigner;
  readonly bus: Bus;
  readonly auditBus: Bus;
  readonly intake: Client<typeof IntakeService>;
  readonly clock: Clock;
  readonly health: Health;
  readonly metrics?: Metrics;
  readonly log: Log;
  /** How long routers may take to come back after policy was away, before a release takes them for gone. Default 10,000. */
  readonly reconnectGraceMs?: number;
}

/** An instance of policy, ready to be served. */
export interface PolicyInstance {
  readonly services: readonly DescService[];
  readonly routes: (router: ConnectRouter) => void;
  /** What of it is served off its streams. */
  readonly hot: readonly HotMethod[];
  /** Works until the signal fires: reads what changes, relays the outbox, notes who watches. Needs a migrated database. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Something may have changed without a word: a notification is not promised to survive everything. As often as a heartbeat, for each
 * says how old this reading is, and routers honour strict keys no longer than it may be. It costs three small questions.
 */
const REREAD_MS = 5_000;

/** Puts an instance of policy together. Several may work on one database. */
export function createPolicyInstance(options: PolicyOptions): PolicyInstance {
  const { pool, signer, clock, health, log, metrics } = options;
  const catalogue = new Catalogue({ pool, clock, log, ...(metrics && { metrics }) });
  const wakes = new Wakes(catalogue, clock);
  const wholes = new WholeQueue(clock);
  const attendance = new Attendance({ pool, clock, log, boot: createBootId(), ...(metrics && { metrics }) });
  const watch: Watch = async function* (request, signal) {
    const { region, instance, boot } = request;
    const leave = attendance.enter({ region, instance, boot });
    try {
      yield* watchPieces(request, { catalogue, clock, wakes, wholes, signal });
    } finally {
      leave();
    }
  };
  const relays = [createPublishedRelay(options), createRecordRelay(options)];
  const announce = (): void => {
    for (const relay of relays) relay.wake();
  };
  const worker = new PolicyWorker({ clock, log });
  const changes = { pool, signer, clock, catalogue, current: new CurrentPolicy(), worker, announce };
  const releases = new ReleaseDriver(changes, log, options.reconnectGraceMs);
  const traffic = new TrafficDesk({ pool, clock, log });
  const secondRoad = new SecondRoad({
    bus: options.bus,
    catalogue,
    signer,
    findKeyringDigest: (version) => findKeyringDigest(pool, version),
    clock,
    log,
  });

  // One failure is told once; what was read last is handed out meanwhile.
  let isFailing = false;
  async function refresh(): Promise<void> {
    try {
      await catalogue.refresh();
      isFailing = false;
      health.setReady("policies are read");
    } catch (error) {
      if (!catalogue.isLoaded) health.setNotReady("policies can't be read from the database");
      if (!isFailing) log.error({ error }, "Cannot read what is to be distributed; trying again");
      isFailing = true;
    }
  }

  async function fillIndex(signal: AbortSignal): Promise<void> {
    await fillKeyIndex(pool, signal).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ error }, "Cannot complete what keys are looked for by; trying again");
    });
  }

  return {
    services: [
      PolicyService,
      KeyService,
      TenantService,
      CredentialService,
      SnapshotService,
      ReleaseService,
      ExplainService,
    ],
    routes(router) {
      router.service(PolicyService, createPolicyService(changes));
      router.service(KeyService, createKeyService(changes));
      router.service(TenantService, createTenantService(changes));
      router.service(CredentialService, createCredentialService({ ...changes, wakes }));
      router.service(SnapshotService, createSnapshotService({ pool, watch, traffic, onReport: () => releases.wake() }));
      router.service(ReleaseService, createReleaseService(changes));
      router.service(ExplainService, createExplainService({ catalogue, pool, clock }));
    },
    hot: [createWatchSurface(watch)],
    async run(signal) {
      for (const relay of relays) relay.start();
      const rereading = (async () => {
        await fillIndex(signal);
        while (!signal.aborted) {
          await pause(clock, isFailing ? 1_000 : REREAD_MS, signal);
          if (signal.aborted) return;
          await refresh();
          if (!isFailing) await fillIndex(signal);
        }
      })();
      const onChange = (): void => {
        // Another instance may have appended to the outbox and died; whoever relays should look.
        announce();
        void refresh();
        releases.wake();
      };
      await Promise.all([
        listenForChanges({ pool, clock, log, signal, onChange }),
        attendance.run(signal),
        traffic.run(signal),
        releases.run(signal),
        secondRoad.run(signal),
        rereading,
      ]);
      await Promise.all(relays.map((relay) => relay.stop()));
    },
  };
}
