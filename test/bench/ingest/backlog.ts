import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Region } from "../../../cli/up/layout.ts";
import { createPool, type Pool, query } from "../../../services/shared/database/pool.ts";
import { createBootId } from "../../../services/shared/ids.ts";
import { createLog } from "../../../services/shared/telemetry/log.ts";
import { createTestPolicy, type Mesh, startMesh } from "../../mesh.ts";
import { findListeners, refuseTakenPort } from "../machine/listener.ts";
import { buildNative } from "../native/build.ts";
import type { LoadReport } from "../native/report.ts";
import { type MemoryRange, pinProcess, watchMemory } from "./sample.ts";

/** How the backlog is measured. */
export interface BacklogBenchOptions {
  /** Calls that wait in the router's spool, each with a usage and a record. Default 1,000,000. */
  readonly calls?: number;
  /** Chats a second, from the baseline to the end. Default 200. */
  readonly rate?: number;
  /** First of 42 free ports. Default 9600. */
  readonly port?: number;
  /** Router, provider and load on core 0, everything else on core 1. Default true. */
  readonly pinned?: boolean;
  readonly onPhase?: (text: string) => void;
}

/** Chats of a phase. */
export interface ChatPhase {
  readonly name: "before" | "drain" | "after";
  readonly chats: number;
  readonly errors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The worst of the segments of 5 s. */
  readonly worstP99Ms: number;
}

/** What came of it. */
export interface BacklogBenchResult {
  readonly calls: number;
  /** From the start of metering and audit until the last of the backlog is committed, usages and records. */
  readonly drainSeconds: number;
  readonly usageSeconds: number;
  readonly recordSeconds: number;
  /** Usages that came to metering more than once: sent again because they had waited behind others. */
  readonly repeatedUsages: number;
  readonly phases: readonly ChatPhase[];
  readonly memory: Readonly<Record<"router" | "metering" | "audit" | "nats", MemoryRange>>;
  readonly faults: readonly string[];
}

const REGION: Region = "eu";
const SEGMENT_SECONDS = 5;
const BASELINE_SEGMENTS = 3;
const PATIENCE_MS = 20 * 60_000;
const SPOOL_LIMIT = "16GiB";
const log = createLog({ service: "bench", level: "silent" });

/**
 * Lets a router's spool fill while metering and audit are down, starts both, and drives chats at a fixed rate while the backlog drains:
 * how long it takes, what memory it takes, and whether the chats notice.
 */
export async function runBacklogBench(options: BacklogBenchOptions = {}): Promise<BacklogBenchResult> {
  const { calls = 1_000_000, rate = 200, port = 9600, pinned = true, onPhase = () => {} } = options;
  const programs = await buildNative();
  const providerPort = port + 41;
  refuseTakenPort(providerPort, "the provider");
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-backlog-"));
  const provider = spawn(programs.provider, ["--port", String(providerPort)], { stdio: "ignore" });
  const endProvider = (): void => void provider.kill("SIGKILL");
  process.once("exit", endProvider);
  let mesh: Mesh | undefined;
  try {
    await until(async () => findListeners(providerPort).length > 0);
    const settings = { "router-eu": { WEIR_SPOOL_LIMIT: SPOOL_LIMIT } };
    mesh = await startMesh({ name: "bench-backlog", basePort: port, settings, policy: createTestPolicy(providerPort) });
    if (pinned) pinMesh(mesh, provider.pid!);
    const bodyFile = join(folder, "body.json");
    writeFileSync(bodyFile, JSON.stringify({ model: "small", messages: [{ role: "user", content: "x".repeat(400) }] }));
    const chat = (seconds: number): Promise<LoadReport> =>
      makeChats(programs.load, { mesh: mesh!, bodyFile, rate, seconds, pinned });
    return await measure(mesh, { calls, chat, pinned, onPhase });
  } finally {
    await mesh?.stop();
    endProvider();
    process.off("exit", endProvider);
    rmSync(folder, { recursive: true, force: true });
  }
}

interface MeasureOptions {
  readonly calls: number;
  readonly chat: (seconds: number) => Promise<LoadReport>;
  readonly pinned: boolean;
  readonly onPhase: (text: string) => void;
}

async function measure(mesh: Mesh, { calls, chat, pinned, onPhase }: MeasureOptions): Promise<BacklogBenchResult> {
  const { processes } = mesh;
  const usages = createPool({ url: mesh.databaseUrl("metering"), max: 1, log });
  const records = createPool({ url: mesh.databaseUrl("audit_eu"), max: 1, log });
  try {
    onPhase("chats without a backlog");
    await chat(SEGMENT_SECONDS); // warms up
    const before = await chatFor(chat, BASELINE_SEGMENTS);

    onPhase(`filling the spool with ${calls} calls`);
    for (const name of ["router-eu", "metering", "audit-eu"] as const) await processes[name].stop();
    const boot = await fillSpool(join(mesh.layout.router, "eu-1", "spool"), calls);
    await processes["router-eu"].restart();
    await mesh.waitRouterReady(REGION, AbortSignal.timeout(60_000));

    onPhase("draining");
    await Promise.all([processes.metering.restart(), processes["audit-eu"].restart()]);
    if (pinned) pinMesh(mesh);
    const watched = watchMemory(() => ({
      router: processes["router-eu"].pid,
      metering: processes.metering.pid,
      audit: processes["audit-eu"].pid,
      nats: processes["nats-eu"].pid,
    }));
    const began = performance.now();
    const following = Promise.all([
      followCursor(usages, boot, calls, began),
      followCursor(records, boot, calls, began),
    ]);
    let isOver = false;
    void following.finally(() => {
      isOver = true;
    });
    const draining: LoadReport[] = [];
    while (!isOver) draining.push(await chat(SEGMENT_SECONDS));
    const [usageSeconds, recordSeconds] = await following;
    const memory = watched.stop();
    const repeatedUsages = await readRepeated(mesh.addresses.metering.address);

    onPhase("chats after it");
    const after = await chatFor(chat, BASELINE_SEGMENTS);
    const phases = [toPhase("before", before), toPhase("drain", draining), toPhase("after", after)];
    const faults = await findFaults(usages, records, boot, calls);
    for (const { name, errors } of phases) if (errors > 0) faults.push(`chats: ${errors} failed (${name})`);
    return {
      calls,
      drainSeconds: Math.max(usageSeconds, recordSeconds),
      usageSeconds,
      recordSeconds,
      repeatedUsages,
      phases,
      memory,
      faults,
    };
  } finally {
    await Promise.all([usages.end(), records.end()]);
  }
}

/** Fills the spool in a process of its own: a spool belongs to the process that writes it, for as long as that lives. */
async function fillSpool(directory: string, calls: number): Promise<string> {
  const boot = createBootId();
  const program = join(import.meta.dirname, "fill-spool.ts");
  await promisify(execFile)(process.execPath, [program, directory, REGION, boot, String(calls)]);
  return boot;
}

async function followCursor(pool: Pool, boot: string, calls: number, beganMs: number): Promise<number> {
  const deadline = performance.now() + PATIENCE_MS;
  await until(async () => {
    if (performance.now() > deadline) throw new Error("Cannot measure: the backlog does not drain");
    return (await readCommitted(pool, boot)) >= calls;
  }, 250);
  return (performance.now() - beganMs) / 1_000;
}

async function readCommitted(pool: Pool, boot: string): Promise<number> {
  const rows = await query<{ committed: bigint }>(
    pool,
    `select highest - coalesce((select sum(last - first + 1) from producer_gap where boot = $1), 0)::bigint as committed
       from producer_cursor where boot = $1`,
    [boot],
  );
  return Number(rows[0]?.committed ?? 0n);
}

async function readRepeated(address: string): Promise<number> {
  const page = await (await fetch(`http://${address}/metrics`)).text();
  return Number(/^weir_metering_events_total\{result="repeated"\} (\d+)/m.exec(page)?.[1] ?? 0);
}

async function findFaults(usages: Pool, records: Pool, boot: string, calls: number): Promise<string[]> {
  const [taken] = await query<Record<string, bigint>>(
    usages,
    `select (select count(*) from usage where boot = $1) as usages, (select count(*) from parked_fact) as parked,
            (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry) as balance,
            (select coalesce(sum(cost_nanos), 0)::bigint from usage) - (select coalesce(sum(cost_nanos), 0)::bigint from spend) as lost`,
    [boot],
  );
  const [logged] = await query<Record<string, bigint>>(
    records,
    `select (select count(*) from record) - (select sequenced from log_state) as misplaced, (select count(*) from parked) as parked`,
  );
  const wanted = { usages: BigInt(calls), parked: 0n, balance: 0n, lost: 0n };
  return [
    ...Object.entries(wanted)
      .filter(([name, value]) => taken![name] !== value)
      .map(([name, value]) => `metering: ${name} is ${taken![name]}, should be ${value}`),
    ...Object.entries(logged!)
      .filter(([, value]) => value !== 0n)
      .map(([name, value]) => `audit: ${name} is ${value}, should be 0`),
  ];
}

async function chatFor(chat: (seconds: number) => Promise<LoadReport>, segments: number): Promise<LoadReport[]> {
  const reports: LoadReport[] = [];
  for (let segment = 0; segment < segments; segment++) reports.push(await chat(SEGMENT_SECONDS));
  return reports;
}

function toPhase(name: ChatPhase["name"], reports: readonly LoadReport[]): ChatPhase {
  const sum = (pick: (report: LoadReport) => number): number => reports.reduce((total, one) => total + pick(one), 0);
  // The median of the segments: a hiccup of the machine in one of them is not the router's.
  const median = (pick: (report: LoadReport) => number): number =>
    reports.map(pick).sort((a, b) => a - b)[reports.length >> 1] ?? 0;
  const p99 = (report: LoadReport): number => (report.totalMicros.p99 ?? 0) / 1_000;
  return {
    name,
    chats: sum(({ requests }) => requests),
    errors: sum(
      ({ errors: { status, connect, reset, timeout, incomplete }, unfinished }) =>
        Object.values(status).reduce((total, count) => total + count, 0) +
        connect +
        reset +
        timeout +
        incomplete +
        unfinished,
    ),
    p50Ms: median((report) => (report.totalMicros.p50 ?? 0) / 1_000),
    p99Ms: median(p99),
    worstP99Ms: Math.max(...reports.map(p99)),
  };
}

async function makeChats(
  program: string,
  options: { mesh: Mesh; bodyFile: string; rate: number; seconds: number; pinned: boolean },
): Promise<LoadReport> {
  const { mesh, bodyFile, rate, seconds, pinned } = options;
  const args = [
    ...["--target", mesh.routerUrl(REGION).replace("http://", ""), "--path", "/v1/chat/completions"],
    ...["--body", bodyFile, "--header", "content-type: application/json"],
    ...["--header", `authorization: Bearer ${mesh.key}`, "--mode", "open", "--rate", String(rate)],
    ...["--warmup-ms", "0", "--duration-ms", String(seconds * 1_000)],
  ];
  const [command, ...rest] = pinned ? ["taskset", "-c", "0", program, ...args] : [program, ...args];
  const { stdout } = await promisify(execFile)(command!, rest);
  return JSON.parse(stdout) as LoadReport;
}

// What a chat goes through on one core, what takes its facts in on the other: neither takes the other's time.
function pinMesh({ processes }: Mesh, provider?: number): void {
  for (const child of Object.values(processes)) {
    if (child.isRunning) pinProcess(child.pid, child.name.startsWith("router-") ? 0 : 1);
  }
  if (provider !== undefined) pinProcess(provider, 0);
}

async function until(isTrue: () => Promise<boolean>, everyMs = 20): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, everyMs));
}
