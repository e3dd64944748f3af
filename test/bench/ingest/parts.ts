import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findTakenPorts } from "../../../cli/up/free-port.ts";
import { createPorts, HOST, type Ports } from "../../../cli/up/layout.ts";
import { ChildRun, type ProcessOptions, readLogTail } from "../../../cli/up/managed-process.ts";
import { prepareNats } from "../../../cli/up/nats.ts";
import { obtainNatsServer } from "../../../cli/up/nats-binary.ts";
import { type Owner, preparePostgres } from "../../../cli/up/postgres.ts";
import { createSilentProgress } from "../../../cli/up/progress.ts";
import { createServiceProcess } from "../../../cli/up/service-process.ts";
import { connectBus } from "../../../services/shared/bus/bus.ts";
import { type EnsureStreamOptions, ensureStream, type StreamName } from "../../../services/shared/bus/streams.ts";
import { generateNoteKey } from "../../../services/shared/note/note.ts";
import { findProcess } from "../../../services/shared/process-identity.ts";
import { createLog } from "../../../services/shared/telemetry/log.ts";
import { pinProcess } from "./sample.ts";

/** Everything that takes facts in, in processes of its own. */
export interface Parts {
  readonly metering: ChildRun;
  readonly audit: ChildRun;
  readonly postgres: ChildRun;
  /** The region's server, which keeps the streams. */
  readonly nats: ChildRun;
  readonly databaseUrl: (owner: Owner) => string;
  /** Where a router of the region publishes usages and records. */
  readonly usageUrl: string;
  readonly recordUrl: string;
  /** Ends all of it and removes its data. */
  stop(): Promise<void>;
}

/** How the parts are started. */
export interface PartsOptions {
  /** First of the 41 ports of a mesh. */
  readonly port: number;
  /** Puts metering and audit on the first core, PostgreSQL and NATS on the second. */
  readonly pinned: boolean;
  /** Folder into which the services write CPU profiles when they end. */
  readonly cpuProfile?: string;
}

const REPOSITORY = join(import.meta.dirname, "../../..");
const START_TIMEOUT_MS = 60_000;
const log = createLog({ service: "bench", level: "silent" });

/** Starts PostgreSQL, a hub, the leaf of "eu", metering and the audit of "eu". Throws when a port is taken or one does not come up. */
export async function startParts({ port, pinned, cpuProfile }: PartsOptions): Promise<Parts> {
  const ports = createPorts(port);
  await refuseTakenPorts(ports);
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-ingest-"));
  const logs = join(folder, "logs");
  const runs: ChildRun[] = [];
  const killAll = (): void => {
    for (const run of runs) run.signal("SIGKILL");
  };
  process.once("exit", killAll);
  const stop = async (): Promise<void> => {
    // The last that was started stands on the others.
    for (const run of runs.toReversed()) await run.stop(run === postgresRun ? "SIGINT" : "SIGTERM", 15_000);
    process.off("exit", killAll);
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  const start = async (options: ProcessOptions, core: number): Promise<ChildRun> => {
    const run = await ChildRun.start(options, logs);
    runs.push(run);
    if (pinned) pinProcess(run.identity.pid, core);
    await waitReady(options, run, logs);
    // What it started before it was pinned, PostgreSQL's workers above all.
    if (pinned) pinProcess(run.identity.pid, core);
    await checkListener(run, options);
    return run;
  };
  let postgresRun: ChildRun | undefined;
  try {
    const progress = createSilentProgress();
    mkdirSync(join(folder, "nats"), { mode: 0o700 });
    const program = await obtainNatsServer({ binDir: join(REPOSITORY, ".weir", "bin"), progress });
    const nats = prepareNats({ directory: join(folder, "nats"), ports, program });
    const postgres = await preparePostgres({ dataDir: folder, port: ports.postgres, progress });
    postgresRun = await start(postgres.process, 1);
    await postgres.createDatabases();
    await start(nats.hub, 1);
    const leaf = await start(nats.leaves.eu, 1);
    const key = generateNoteKey("weir.local/audit/eu");
    writeFileSync(join(folder, "audit.key"), key.signerKey, { mode: 0o600 });
    const service = (name: string, main: string, at: number, settings: Record<string, string>): ProcessOptions => {
      const options = createServiceProcess({ name, main, port: at, settings });
      if (cpuProfile === undefined) return options;
      return { ...options, args: ["--cpu-prof", `--cpu-prof-dir=${join(cpuProfile, name)}`, ...options.args] };
    };
    const metering = await start(
      service("metering", "services/metering/main.ts", ports.metering, {
        WEIR_DATABASE_URL: postgres.url("metering"),
        WEIR_NATS_URL: nats.url("metering"),
        WEIR_REGIONS: "eu",
      }),
      0,
    );
    const audit = await start(
      service("audit", "services/audit/main.ts", ports["audit-eu"], {
        WEIR_REGION: "eu",
        WEIR_ORIGIN: "weir.local/audit/eu",
        WEIR_SIGNING_KEY: join(folder, "audit.key"),
        WEIR_DATABASE_URL: postgres.url("audit_eu"),
        WEIR_NATS_URL: nats.url("audit-eu"),
      }),
      0,
    );
    // A service is stopped before it is sent anything, perhaps before it came to make its stream.
    await makeStream(nats.url("metering"), "USAGE", { domain: "eu" });
    await makeStream(nats.url("audit-eu"), "AUDIT");
    return {
      metering,
      audit,
      postgres: postgresRun,
      nats: leaf,
      databaseUrl: postgres.url,
      usageUrl: nats.url("router-eu"),
      recordUrl: nats.url("records-eu"),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function refuseTakenPorts(ports: Ports): Promise<void> {
  const taken = (await findTakenPorts(ports)).map(({ name, port }) => `${port} (${name})`);
  if (taken.length > 0) throw new Error(`Cannot start bench: something else listens on port ${taken.join(", ")}`);
}

async function waitReady(options: ProcessOptions, run: ChildRun, logs: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await options.ready(AbortSignal.timeout(START_TIMEOUT_MS)).catch(() => false))) {
    if (run.hasEnded || performance.now() > deadline) {
      throw new Error(`Cannot start ${options.name}: it is not ready\n${readLogTail(logs, options.name)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Makes a stream as the user of the service that takes its messages in; tries until the leaf is linked to the hub. */
async function makeStream(url: string, stream: StreamName, options: EnsureStreamOptions = {}): Promise<void> {
  const bus = await connectBus({ urls: [url], name: "bench", log });
  const deadline = performance.now() + START_TIMEOUT_MS;
  try {
    for (;;) {
      try {
        return await ensureStream(bus, stream, "eu", { ...options, signal: AbortSignal.timeout(START_TIMEOUT_MS) });
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  } finally {
    await bus.close();
  }
}

// The ports were free and it is ready: what answers is what was started, as long as that lives.
async function checkListener(run: ChildRun, { name }: ProcessOptions): Promise<void> {
  if (run.hasEnded || findProcess(run.identity.pid) === undefined) {
    throw new Error(`Cannot start ${name}: something else answers at ${HOST} in its place`);
  }
}
