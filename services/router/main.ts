import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { IntakeService as AuditIntake } from "../../gen/weir/audit/v1/intake_service_pb.ts";
import { IntakeService as MeteringIntake } from "../../gen/weir/metering/v1/intake_service_pb.ts";
import { connectBus } from "../shared/bus/bus.ts";
import { systemClock } from "../shared/clock.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { lockFolder } from "../shared/folder-lock.ts";
import { createBootId } from "../shared/ids.ts";
import { createMeshTransport } from "../shared/mesh/client.ts";
import { Health } from "../shared/mesh/health.ts";
import { toLimits } from "../shared/mesh/listener.ts";
import { openTls } from "../shared/mesh/open-tls.ts";
import { answerJson, createOperationsHandler } from "../shared/mesh/operations.ts";
import { startMeshServer } from "../shared/mesh/server.ts";
import { openTrust } from "../shared/note/open-trust.ts";
import { runService } from "../shared/process.ts";
import type { HeadKind } from "../shared/snapshot/head.ts";
import { keepSnapshots } from "../shared/snapshot/keep.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { openAccounting } from "./accounting/open-accounting.ts";
import { createRoads } from "./accounting/roads.ts";
import { LimitCounters } from "./admission/counters.ts";
import { BodyMemory } from "./arrival/body-memory.ts";
import { CALLER_SERVICES, openCallerPort } from "./caller-port.ts";
import { Chats } from "./chat.ts";
import { readConfig } from "./config.ts";
import { WorkerCounter } from "./counting/token-counter.ts";
import { ChatDispatcher } from "./dispatch/dispatch.ts";
import { Pools } from "./dispatch/pools.ts";
import { DeadlineSweep } from "./dispatch/sweep.ts";
import { Standings } from "./ejection/standings.ts";
import { FailureLog } from "./failure-log.ts";
import { followPolicy } from "./follow-policy.ts";
import { createObserver } from "./measure.ts";
import { openCredentials } from "./open-credentials.ts";
import { UpstreamBook } from "./routing/upstream-book.ts";
import { createStandingWatch, showStandings } from "./standing-watch.ts";
import { toState } from "./state.ts";
import { createTrafficReader } from "./traffic.ts";

/** How long before the end of the drain time the last streams are ended, so that they can say so and are settled. */
const FAREWELL_MS = 500;
/** How much of that the tokens of the streams that were ended may take to be counted. */
const LAST_COUNTS_MS = 250;

runService("router", async ({ environment, log, signal }) => {
  const settings = readConfig(environment, log);
  const clock = systemClock;
  const region = settings.WEIR_REGION;
  const instance = settings.WEIR_ROUTER;
  const boot = createBootId();
  const build = readBuild();
  const producer = { region, instance, boot };
  mkdirSync(settings.WEIR_STATE, { recursive: true, mode: 0o700 });
  // Two routers in one folder would take each other's open chats for those of a dead one.
  const lock = await lockFolder(settings.WEIR_STATE);
  if (lock === undefined) {
    const state = `another process has the folder "${settings.WEIR_STATE}" of WEIR_STATE`;
    throw new WeirError("SETTING_INVALID", `Cannot start router: ${state}`);
  }
  const metrics = createMetrics("router");
  const health = new Health({ gauge: metrics.weir_ready });
  const tls = openTls({ settings: settings, clock, log, metrics, signal });

  // Of others, and none has to be there for this router to serve: all of these connect by themselves.
  const policy = createMeshTransport({ addresses: settings.WEIR_POLICY_ADDRESS, tls, log });
  const metering = createMeshTransport({ addresses: settings.WEIR_METERING_ADDRESS, tls, log });
  const audit = createMeshTransport({ addresses: settings.WEIR_AUDIT_ADDRESS, tls, log });
  const usageBus = await connectBus({ urls: [settings.WEIR_NATS_URL], name: `router ${instance}`, log });
  const recordBus = await connectBus({ urls: [settings.WEIR_AUDIT_NATS_URL], name: `router ${instance} records`, log });
  metrics.weir_bus_connected.set({ bus: "usage" }, 0);
  metrics.weir_bus_connected.set({ bus: "records" }, 0);
  usageBus.onChange((connected) => metrics.weir_bus_connected.set({ bus: "usage" }, connected ? 1 : 0), signal);
  recordBus.onChange((connected) => metrics.weir_bus_connected.set({ bus: "records" }, connected ? 1 : 0), signal);

  const trust = openTrust({ path: settings.WEIR_TRUST, clock, log, signal });
  const credentials = openCredentials({ environment, settings, boot, trust, transport: policy, log, clock, metrics });
  let isPolicyConnected = false;
  const snapshots = keepSnapshots({
    name: { ...producer, build },
    trust,
    directory: join(settings.WEIR_STATE, "snapshots"),
    transport: policy,
    log,
    clock,
    metrics,
    readTraffic: createTrafficReader(metrics),
    bus: usageBus,
    onConnected: (connected) => {
      isPolicyConnected = connected;
    },
  });
  // How old the knowledge is that it serves by: rises while policy is away, whatever the version.
  const findConfigAge = (kind: HeadKind): number | undefined => {
    const ageMs = snapshots.getAgeMs(kind);
    return Number.isFinite(ageMs) ? Math.round(ageMs / 1000) : undefined;
  };
  metrics.onPage(() => {
    for (const kind of ["snapshot", "keyring"] as const) {
      const seconds = findConfigAge(kind);
      if (seconds !== undefined) metrics.weir_router_config_age_seconds.set({ kind }, seconds);
    }
  });
  const meteringIntake = createClient(MeteringIntake, metering);
  const auditIntake = createClient(AuditIntake, audit);
  const accounting = await openAccounting({
    producer,
    directory: join(settings.WEIR_STATE, "spool"),
    limitBytes: settings.WEIR_SPOOL_LIMIT,
    roads: createRoads({
      usageBus,
      recordBus,
      getUsageWatermark: async (asked, asking) =>
        (await meteringIntake.getWatermark(toAsked(asked), { signal: asking })).seq,
      getRecordWatermark: async (asked, asking) =>
        (await auditIntake.getWatermark(toAsked(asked), { signal: asking })).seq,
    }),
    log,
    metrics,
    clock,
  });

  const memory = new BodyMemory(settings.WEIR_BODY_MEMORY);
  metrics.onPage(() => metrics.weir_router_body_memory_bytes.set(memory.usedBytes));
  const sweep = new DeadlineSweep(clock);
  const pools = new Pools({ connections: settings.WEIR_PROVIDER_CONNECTIONS });
  const counter = new WorkerCounter({
    deadlines: sweep,
    clock,
    log,
    onCount: (result) => metrics.weir_router_counts_total.inc({ result }),
  });
  const upstreams = new UpstreamBook(() => credentials.current());
  const standings = new Standings({ clock, router: instance, onChange: createStandingWatch(metrics, log) });
  showStandings(metrics, standings);
  const dispatcher = new ChatDispatcher({
    pools,
    standings,
    sweep,
    clock,
    memory,
    counter,
    answerLimitBytes: settings.WEIR_ANSWER_LIMIT,
  });
  const observer = createObserver(metrics, new FailureLog(log, clock));
  const current = () => snapshots.current();
  const chats = new Chats({
    getKeyringAgeMs: () => snapshots.getAgeMs("keyring"),
    current,
    counters: new LimitCounters(),
    upstreams,
    standings,
    accounting,
    dispatcher,
    observer,
    clock,
    log,
  });

  const open = followPolicy({ snapshots, credentials, upstreams, pools, standings, health, metrics, log });
  const operations = createOperationsHandler({ health, metrics });
  const openForCallers = () =>
    openCallerPort({
      listen: settings.WEIR_LISTEN,
      reusePort: settings.WEIR_REUSE_PORT,
      tls,
      chats,
      body: { limitBytes: settings.WEIR_BODY_LIMIT, memory, deadlines: sweep, clock },
      requestTimeoutMs: settings.WEIR_REQUEST_TIMEOUT,
      operations,
      onRefusal: (reason) => observer.onRefusal(reason),
      reflection: settings.WEIR_REFLECTION,
      limits: toLimits(settings),
      health,
      metrics,
      clock,
      log,
    });
  // Who serves from disk serves from its first call on.
  await Promise.race([credentials.read, abortOf(signal)]);
  const opened = settings.WEIR_REUSE_PORT ? undefined : await openForCallers();
  const admin = await startMeshServer({
    listen: settings.WEIR_ADMIN_LISTEN,
    tls,
    routes: () => undefined,
    services: CALLER_SERVICES,
    reflection: settings.WEIR_REFLECTION,
    health,
    fallback: (request, response) => {
      const [path = ""] = (request.url ?? "").split("?", 1);
      const { busy, free } = pools.count();
      metrics.weir_router_provider_connections.set({ state: "busy" }, busy);
      metrics.weir_router_provider_connections.set({ state: "free" }, free);
      if (path !== "/state" || request.method !== "GET") return operations(request, response);
      answerJson(
        response,
        200,
        toState({
          region,
          router: instance,
          boot,
          build,
          current,
          findConfigAge,
          findUpstreams: ({ snapshot }) => upstreams.get(snapshot),
          listAbsent: () => standings.list(),
          credentials,
          countChats: () => dispatcher.openChats,
          countConnections: () => ({ busy, free }),
          countBodyBytes: () => memory.usedBytes,
          isPolicyConnected: () => isPolicyConnected,
          isBusConnected: () => ({ usage: usageBus.connected, records: recordBus.connected }),
        }),
      );
    },
    metrics,
    log,
  });
  // On a shared port the kernel deals out connections to all that listen: one that cannot serve yet would refuse what others could answer.
  if (opened === undefined) await Promise.race([snapshots.ready, abortOf(signal)]);
  const server = opened ?? (await openForCallers());
  open();
  log.info({ address: server.address, admin: admin.address, region, router: instance, boot, build }, "Listening");

  return {
    stop: async () => {
      const drainMs = settings.WEIR_DRAIN_TIMEOUT;
      const farewell = setTimeout(
        () => dispatcher.cutAll(new WeirError("DRAINING", "Cannot go on answering: this router is stopping")),
        Math.max(0, drainMs - FAREWELL_MS),
      );
      const lastCounts = setTimeout(() => void counter.stop(), Math.max(0, drainMs - FAREWELL_MS + LAST_COUNTS_MS));
      await server.drain(drainMs);
      clearTimeout(farewell);
      clearTimeout(lastCounts);
      dispatcher.cutAll(new WeirError("DRAINING", "Cannot go on answering: this router is stopping"));
      // Who waits for a count is settled without it: the spool is still there to take it.
      await counter.stop();
      sweep.close();
      await Promise.all([snapshots.close(), credentials.close()]);
      await accounting.close(drainMs);
      await pools.close();
      await Promise.all([usageBus.close(), recordBus.close()]);
      for (const transport of [policy, metering, audit]) transport.close();
      await admin.close();
      await lock.release();
    },
  };
});

/** Rejects when the signal fires. */
function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

function toAsked({
  region,
  instance,
  boot,
}: {
  readonly region: string;
  readonly instance: string;
  readonly boot: string;
}) {
  return { region, instance, boot };
}

/** Version of the program, for reports. */
function readBuild(): string {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
    version: string;
  };
  return version;
}
