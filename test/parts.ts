/**
 * Real parts for tests of rooms that depend on them: a PostgreSQL and a nats-server of a test's own, on ports and in folders of
 * its own, started as the development mesh starts them. The whole mesh is in `mesh.ts`.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createPorts, HOST, type Region } from "../cli/up/layout.ts";
import { ChildRun, type ProcessOptions, readLogTail } from "../cli/up/managed-process.ts";
import { greets, prepareNats } from "../cli/up/nats.ts";
import { obtainNatsServer } from "../cli/up/nats-binary.ts";
import type { NatsUser } from "../cli/up/nats-config.ts";
import { type Owner, preparePostgres } from "../cli/up/postgres.ts";
import { findChildren } from "../cli/up/process-tree.ts";
import { createSilentProgress } from "../cli/up/progress.ts";
import { getFreeBasePort } from "./ports.ts";
import { copyPostgres } from "./postgres-template.ts";

/** A running server that a test may hurt. */
export interface TestPart {
  /** Ends it as a power cut would end the process: SIGKILL. Returns when it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port and data. Returns when it answers. */
  restart(): Promise<void>;
  /** Stops it from answering, without closing a connection: SIGSTOP. */
  freeze(): void;
  /** Undoes {@link TestPart.freeze}. */
  thaw(): void;
}

/** A PostgreSQL with the databases and roles of the development mesh. */
export interface TestPostgres extends TestPart {
  url(owner: Owner): string;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** A single nats-server with JetStream, without users. */
export interface TestNats extends TestPart {
  readonly url: string;
  /** Ends it, and with it its data. */
  stop(): Promise<void>;
  /** Removes its streams, as a lost disk does. Only while it is down. */
  forget(): void;
}

/** The hub and the leaves with accounts, users and permissions as in the development mesh. */
export interface TestNatsMesh {
  readonly hub: TestPart;
  readonly leaves: Readonly<Record<Region, TestPart>>;
  url(user: NatsUser): string;
  /** Removes the streams of a region's server, as a lost disk does. Only while it is down. */
  forget(region: Region): void;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const FREEZE_MS = 5_000;
const STOP_TIMEOUT_MS = 5_000;
const REPOSITORY = join(import.meta.dirname, "..");

/** Starts a PostgreSQL. */
export async function startPostgres(): Promise<TestPostgres> {
  const dataDir = makeFolder("postgres");
  await copyPostgres(dataDir);
  const postgres = await preparePostgres({ dataDir, port: await getFreeBasePort(), progress: createSilentProgress() });
  const part = new Part(postgres.process, dataDir);
  await part.restart();
  await postgres.createDatabases();
  return Object.assign(part, { url: (owner: Owner) => postgres.url(owner), stop: () => part.remove() });
}

/** Starts a nats-server. */
export async function startNats(): Promise<TestNats> {
  const dataDir = makeFolder("nats");
  const port = await getFreeBasePort();
  const store = join(dataDir, "store");
  const config = join(dataDir, "nats.conf");
  writeFileSync(config, `host: "${HOST}"\nport: ${port}\njetstream { store_dir: "${store}", max_file_store: 4GB }\n`);
  const part = new Part(
    {
      name: "nats",
      command: await obtainNats(),
      args: ["--config", config],
      environment: { PATH: process.env.PATH ?? "" },
      ready: () => greets(port),
    },
    dataDir,
  );
  await part.restart();
  return Object.assign(part, {
    url: `nats://${HOST}:${port}`,
    stop: () => part.remove(),
    forget: () => rmSync(store, { recursive: true, force: true }),
  });
}

/** Starts the hub and both leaves. */
export async function startNatsMesh(): Promise<TestNatsMesh> {
  const dataDir = makeFolder("nats-mesh");
  const program = await obtainNats();
  mkdirSync(join(dataDir, "nats"));
  const ports = createPorts(await getFreeBasePort());
  const nats = prepareNats({ directory: join(dataDir, "nats"), ports, program });
  const hub = new Part(nats.hub, dataDir);
  const leaves = { eu: new Part(nats.leaves.eu, dataDir), us: new Part(nats.leaves.us, dataDir) };
  await hub.restart();
  await Promise.all([leaves.eu.restart(), leaves.us.restart()]);
  return {
    hub,
    leaves,
    url: (user) => nats.url(user),
    forget: (region) => rmSync(join(dataDir, "nats", region), { recursive: true, force: true }),
    stop: async () => {
      await Promise.all([leaves.eu.kill(), leaves.us.kill()]);
      await hub.remove();
    },
  };
}

/** The parts that run. A test run that is cut short must leave none of them behind. */
const running = new Set<Part>();
process.once("exit", () => {
  for (const part of running) part.abandon();
});

class Part implements TestPart {
  readonly #options: ProcessOptions;
  readonly #dataDir: string;
  #run: ChildRun | undefined;

  constructor(options: ProcessOptions, dataDir: string) {
    this.#options = options;
    this.#dataDir = dataDir;
    running.add(this);
  }

  async restart(): Promise<void> {
    await this.kill();
    const deadline = performance.now() + START_TIMEOUT_MS;
    const logs = join(this.#dataDir, "logs");
    this.#run = await ChildRun.start(this.#options, logs);
    while (!(await this.#isReady())) {
      if (performance.now() > deadline) {
        throw new Error(
          `Cannot start ${this.#options.name}: not ready in time\n${readLogTail(logs, this.#options.name)}`,
        );
      }
      // After a kill, children of the old PostgreSQL may hold its shared memory for a moment; then the new one ends at once.
      if (this.#run.hasEnded) this.#run = await ChildRun.start(this.#options, logs);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async kill(): Promise<void> {
    this.#run?.signal("SIGKILL");
    await this.#run?.ended;
  }

  freeze(): void {
    const identities = this.#run === undefined ? [] : [this.#run.identity, ...findChildren(this.#run.identity)];
    this.#run?.signal("SIGSTOP");
    // The signal is only on its way by now: a thread on another core may still answer what is sent next.
    const deadlineMs = performance.now() + FREEZE_MS;
    while (!identities.every(({ pid }) => isStopped(pid))) {
      if (performance.now() > deadlineMs) throw new Error("Cannot freeze: a process goes on");
    }
  }

  thaw(): void {
    this.#run?.signal("SIGCONT");
  }

  /** Kills it without waiting for its end. */
  abandon(): void {
    this.#run?.signal("SIGKILL");
  }

  async remove(): Promise<void> {
    // Asked to stop, PostgreSQL takes its shared memory away; killed, it would leave it to the machine for ever.
    await this.#run?.stop(this.#options.stopSignal ?? "SIGTERM", STOP_TIMEOUT_MS);
    running.delete(this);
    rmSync(this.#dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  #isReady(): Promise<boolean> {
    return this.#options.ready(AbortSignal.timeout(START_TIMEOUT_MS)).catch(() => false);
  }
}

/** Whether all threads of a process stand still, or it is gone. */
function isStopped(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) =>
      / [TtZX] /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8").replace(/^.*\)/s, "")),
    );
  } catch {
    return true;
  }
}

function makeFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `weir-test-${name}-`));
}

async function obtainNats(): Promise<string> {
  // Kept with the development mesh's, so that it is downloaded once and not once a test.
  return await obtainNatsServer({ binDir: join(REPOSITORY, ".weir", "bin"), progress: createSilentProgress() });
}
