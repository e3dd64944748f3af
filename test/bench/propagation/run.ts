import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { CreateKeyResponse } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { DEMO_TENANT } from "../../mesh.ts";
import { listTree, readCpuMicros, readRssBytes } from "../machine/process-figures.ts";
import { KeyCallers } from "./callers.ts";
import { type MeshOfKeys, readTurns, startMeshOfKeys } from "./mesh-of-keys.ts";
import { WatcherProcess } from "./watcher-process.ts";

/** What is measured. */
export interface PropagationOptions {
  readonly folder: string;
  readonly keys: number;
  readonly watchers: number;
  readonly changes: number;
  readonly revocations: number;
  /** How many watchers restart at once. */
  readonly herd: number;
  readonly policies: 1 | 2;
  readonly pinned: boolean;
  readonly onPhase: (text: string) => void;
}

/** How long something took, each in milliseconds, and what it was of. */
export interface Propagation {
  /** Of a change: from the request to when a watcher had received and verified it, one for each watcher and change. */
  readonly received: readonly number[];
  /** From the request to when the last of the watchers had. */
  readonly receivedByAll: readonly number[];
  /** From the request to when every router had applied it and policy had stored its report. */
  readonly reported: readonly number[];
  /** The request itself. */
  readonly answered: readonly number[];
  /** From the answer of RevokeKey to the last 200 that any router gave; 0 when the last came before the answer. */
  readonly revoked: readonly number[];
  /** Chats a second that the revoked keys made, before they were. */
  readonly chatsPerSecond: number;
  readonly bytesPerChange: number;
  /** CPU time of policy and of a router for a change, in milliseconds; what they do without changes is taken off. */
  readonly policyCpuMs: number;
  readonly routerCpuMs: number;
  readonly fillSeconds: number;
  /** From their start to the first message of policy. */
  readonly herdTakenOn: readonly number[];
  /** From their start to when each had all there is. */
  readonly herdFromDisk: readonly number[];
  readonly herdFromNothing: readonly number[];
  /** CPU time, in seconds, while the herd from nothing came: of policy, and of the process that verifies for the herd. */
  readonly herdCpuSeconds: { readonly policy: number; readonly watchers: number };
  /** Changes that were made while the second herd came, as `receivedByAll` of the watchers that stayed. */
  readonly receivedDuringHerd: readonly number[];
  /** The longest turn of an event loop in milliseconds of CPU time, by phase and process. */
  readonly turns: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Resident memory of policy in MiB, by phase. */
  readonly policyMiB: Readonly<Record<string, number>>;
  /** What the run can object to. */
  readonly faults: readonly string[];
}

const WATCHERS_A_PROCESS = 250;
const BATCH = 1_000;
const EACH_MS = 200;
const IDLE_MS = 10_000;
const CONNECTIONS = 4;
/** Until most of what chats run is compiled. */
const FIRST_CHATS = 2_000;
const REGION = "eu";

/** Runs all of it, on a mesh of its own. */
export async function runPropagationBench(options: PropagationOptions): Promise<Propagation> {
  const { onPhase } = options;
  onPhase("starting the mesh");
  const parts = await startMeshOfKeys(options);
  const processes = Array.from(
    { length: Math.ceil(options.watchers / WATCHERS_A_PROCESS) },
    () => new WatcherProcess(),
  );
  const herd = new WatcherProcess();
  const end = (): void => {
    for (const one of [...processes, herd]) one.stop();
  };
  process.once("exit", end);
  try {
    return await new Run(options, parts, processes, herd).run();
  } finally {
    end();
    process.off("exit", end);
    await parts.stop();
  }
}

class Run {
  readonly #options: PropagationOptions;
  readonly #parts: MeshOfKeys;
  readonly #processes: readonly WatcherProcess[];
  readonly #herd: WatcherProcess;
  readonly #faults: string[] = [];
  readonly #turns: Record<string, Record<string, number>> = {};
  readonly #policyMiB: Record<string, number> = {};

  constructor(
    options: PropagationOptions,
    parts: MeshOfKeys,
    processes: readonly WatcherProcess[],
    herd: WatcherProcess,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#processes = processes;
    this.#herd = herd;
  }

  async run(): Promise<Propagation> {
    const { keys, watchers, changes, revocations, onPhase } = this.#options;
    await this.#note("start");
    onPhase(`making ${keys} keys`);
    const beganMs = nowMs();
    const made = await this.#fill();
    const fillSeconds = (nowMs() - beganMs) / 1_000;
    await this.#waitReported(await this.#latestVersion());
    await this.#note("keys made");

    onPhase(`starting ${watchers} watchers`);
    await this.#startWatchers();
    await this.#note("watchers there");
    await this.#read();

    onPhase("nothing, for comparison");
    const idle = await this.#measureCpu(() => setTimeout(IDLE_MS));
    onPhase(`${changes} changes`);
    const before = await this.#read();
    const { result: changed, ...busy } = await this.#measureCpu(() => this.#change(made, changes));
    const after = await this.#read();
    const bytes = after.bytes - before.bytes;
    await this.#note("changes");
    const received = this.#match(changed, after.seen);

    onPhase("first chats");
    await this.#warmUp(made);
    await this.#note("first chats");

    onPhase(`${revocations} revocations under load`);
    const revoked = await this.#revoke(revocations);
    await this.#note("revocations");

    onPhase("a herd");
    const herds = await this.#startHerds(made);
    await this.#note("herd");
    this.#faults.push(...(await this.#read()).failures);
    return {
      ...received,
      reported: changed.map(({ beganMs: began, reportedMs }) => reportedMs - began),
      answered: changed.map(({ beganMs: began, answeredMs }) => answeredMs - began),
      ...revoked,
      ...herds,
      policyCpuMs: ((busy.policy - idle.policy) * busy.seconds) / changes,
      routerCpuMs: ((busy.router - idle.router) * busy.seconds) / changes,
      bytesPerChange: bytes / changes / watchers,
      fillSeconds,
      turns: this.#turns,
      policyMiB: this.#policyMiB,
      faults: this.#faults,
    };
  }

  async #fill(): Promise<CreateKeyResponse[]> {
    const [client] = this.#parts.keys;
    const made: CreateKeyResponse[] = [];
    while (made.length < this.#options.keys) {
      const requests = Array.from({ length: Math.min(BATCH, this.#options.keys - made.length) }, (_, index) => ({
        ...DEMO_TENANT,
        requestId: randomUUID(),
        displayName: `key ${made.length + index}`,
        models: ["*"],
      }));
      made.push(...(await client!.batchCreateKeys({ requests })).keys);
    }
    return made;
  }

  async #startWatchers(): Promise<void> {
    const { watchers } = this.#options;
    for (const [index, one] of this.#processes.entries()) {
      const names = Array.from(
        { length: Math.min(WATCHERS_A_PROCESS, watchers - index * WATCHERS_A_PROCESS) },
        (_, number) => `light-${index}-${number}`,
      );
      // The first fetches the whole and verifies it; the others begin as after a restart from disk.
      await this.#start(one, names.slice(0, 1), "nothing");
      await this.#start(one, names.slice(1), "held");
    }
  }

  async #start(one: WatcherProcess, names: readonly string[], from: "held" | "nothing") {
    const { policyAddresses: addresses, mesh } = this.#parts;
    const trust = readFileSync(mesh.trust.routerTrust, "utf8");
    const order = { do: "start", names, region: REGION, boot: randomUUID(), addresses, trust, from } as const;
    return await one.ask(order, "started");
  }

  async #change(made: readonly CreateKeyResponse[], count: number) {
    const done: { beganMs: number; answeredMs: number; reportedMs: number; version: bigint }[] = [];
    for (let index = 0; index < count; index++) {
      const keyId = made[(index * 7_919) % made.length]?.key?.keyId as string;
      const client = this.#parts.keys[index % this.#parts.keys.length]!;
      const beganMs = nowMs();
      const { keyrings } = await client.updateKey({
        ...{ requestId: randomUUID(), organisation: DEMO_TENANT.organisation, keyId },
        settings: { labels: { round: String(index) } },
        updateMask: { paths: ["labels"] },
      });
      const answeredMs = nowMs();
      const version = keyrings[0]?.version as bigint;
      const reportedMs = await this.#waitReported(version);
      done.push({ beganMs, answeredMs, reportedMs, version });
      await setTimeout(Math.max(0, EACH_MS - (nowMs() - beganMs)));
    }
    await setTimeout(1_000);
    return done;
  }

  /** When all routers had said that they run a version; asked every 5 ms. */
  async #waitReported(version: bigint): Promise<number> {
    const deadlineMs = nowMs() + 30_000;
    for (;;) {
      const { rows } = await this.#parts.pool.query(
        "select count(*)::int as behind from instance_report where kind = 2 and running_version < $1 and instance ~ '^(eu|us)-[0-9]$'",
        [version],
      );
      if (rows[0].behind === 0) return nowMs();
      if (nowMs() > deadlineMs)
        throw new Error(`Cannot go on: a router has not reported keyring ${version} within 30 s`);
      await setTimeout(5);
    }
  }

  async #latestVersion(): Promise<bigint> {
    return (await this.#parts.pool.query("select max(version) as version from keyring")).rows[0].version;
  }

  /** When each watcher had each change, or a later one. */
  #match(
    changed: readonly { readonly beganMs: number; readonly version: bigint }[],
    seen: ReadonlyMap<bigint, readonly number[]>,
  ): Pick<Propagation, "received" | "receivedByAll"> {
    const received: number[] = [];
    const receivedByAll: number[] = [];
    for (const { beganMs, version } of changed) {
      const times = seen.get(version) ?? [];
      if (times.length !== this.#options.watchers)
        this.#faults.push(
          `version ${version} came to ${times.length} of ${this.#options.watchers} watchers within a second of the last`,
        );
      if (times.length === 0) continue;
      received.push(...times.map((time) => time - beganMs));
      receivedByAll.push(Math.max(...times) - beganMs);
    }
    return { received, receivedByAll };
  }

  /** Has the routers answer chats for a while: code that runs for the first time holds an event loop longer than what comes later. */
  async #warmUp(made: readonly CreateKeyResponse[]): Promise<void> {
    const callers = new KeyCallers(this.#callerUrls(), made[0]!.secret);
    await callers.begin(CONNECTIONS);
    while (callers.accepted < FIRST_CHATS) await setTimeout(100);
    callers.end();
  }

  #callerUrls(): string[] {
    const { mesh } = this.#parts;
    return [`${mesh.routerUrl("eu")}/v1`, `${mesh.routerUrl("us")}/v1`];
  }

  async #revoke(count: number): Promise<Pick<Propagation, "revoked" | "chatsPerSecond">> {
    const { keys } = this.#parts;
    const urls = this.#callerUrls();
    const revoked: number[] = [];
    let chats = 0;
    let seconds = 0;
    for (let index = 0; index < count; index++) {
      const client = keys[index % keys.length]!;
      const { key, secret } = await client.createKey({ requestId: randomUUID(), ...DEMO_TENANT, models: ["*"] });
      await this.#waitReported(await this.#latestVersion());
      const callers = new KeyCallers(urls, secret);
      const beganMs = nowMs();
      await callers.begin(CONNECTIONS);
      await setTimeout(300);
      chats += callers.accepted;
      seconds += (nowMs() - beganMs) / 1_000;
      const organisation = DEMO_TENANT.organisation;
      const { keyrings } = await client.revokeKey({
        requestId: randomUUID(),
        organisation,
        keyId: key?.keyId as string,
      });
      const answeredMs = nowMs();
      await this.#waitReported(keyrings[0]?.version as bigint);
      await setTimeout(300);
      callers.end();
      revoked.push(Math.max(0, callers.lastAcceptedMs - answeredMs));
      const refused = callers.refused.get(401) ?? 0;
      if (refused === 0) this.#faults.push(`revocation ${index}: nobody was refused`);
      if (callers.failed > 0) this.#faults.push(`revocation ${index}: ${callers.failed} requests failed`);
    }
    return { revoked, chatsPerSecond: Math.round(chats / Math.max(seconds, 0.001)) };
  }

  /** Watchers that come all at once: those that hold what they had on disk, and those that hold nothing. */
  async #startHerds(made: readonly CreateKeyResponse[]) {
    const names = Array.from({ length: this.#options.herd }, (_, number) => `herd-${number}`);
    await this.#start(this.#herd, ["herd-first"], "nothing");
    const { readyAfterMs: herdFromDisk } = await this.#start(this.#herd, names, "held");
    await this.#herd.ask({ do: "stop", names }, "stopped");
    await this.#read();
    const readCpu = () => ({
      policy: readCpuMicros(listTree(this.#parts.pids.policy as number)) / 1e6,
      watchers: readCpuMicros([this.#herd.pid]) / 1e6,
    });
    const cpuBefore = readCpu();
    const coming = this.#start(this.#herd, names, "nothing");
    const changed = await this.#change(made, 10);
    const { takenOnAfterMs: herdTakenOn, readyAfterMs: herdFromNothing } = await coming;
    const cpuAfter = readCpu();
    const herdCpuSeconds = {
      policy: cpuAfter.policy - cpuBefore.policy,
      watchers: cpuAfter.watchers - cpuBefore.watchers,
    };
    const { receivedByAll: receivedDuringHerd } = this.#match(changed, (await this.#read()).seen);
    const { failures } = await this.#herd.ask({ do: "read" }, "read");
    this.#faults.push(...failures);
    return { herdTakenOn, herdFromDisk, herdFromNothing, herdCpuSeconds, receivedDuringHerd };
  }

  /** Takes from the watchers what they saw since the last time. */
  async #read() {
    const seen = new Map<bigint, number[]>();
    const failures: string[] = [];
    let bytes = 0;
    for (const one of this.#processes) {
      const answer = await one.ask({ do: "read" }, "read");
      for (const [version, times] of answer.seen) {
        const known = seen.get(BigInt(version)) ?? [];
        known.push(...times);
        seen.set(BigInt(version), known);
      }
      bytes += answer.bytes;
      failures.push(...answer.failures);
    }
    return { seen, failures, bytes };
  }

  /** Does something, and says what policy and a router took meanwhile: milliseconds of CPU a second. */
  async #measureCpu<T>(act: () => Promise<T>) {
    const read = (names: readonly string[]) =>
      readCpuMicros(names.flatMap((name) => listTree(this.#parts.pids[name] ?? 0))) / 1_000;
    const policies = Object.keys(this.#parts.pids).filter((name) => name.startsWith("policy"));
    const routers = Object.keys(this.#parts.pids).filter((name) => name.startsWith("router"));
    const [policyMs, routerMs, beganMs] = [read(policies), read(routers), nowMs()];
    const result = await act();
    const seconds = (nowMs() - beganMs) / 1_000;
    const policy = (read(policies) - policyMs) / seconds;
    const router = (read(routers) - routerMs) / seconds / routers.length;
    return { result, seconds, policy, router };
  }

  async #note(phase: string): Promise<void> {
    this.#turns[phase] = await readTurns(this.#parts);
    this.#policyMiB[phase] = readRssBytes([this.#parts.pids.policy as number]) / 2 ** 20;
  }
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
