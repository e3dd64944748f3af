import { connectBus } from "../../../services/shared/bus/bus.ts";
import { publish } from "../../../services/shared/bus/publish.ts";
import { createPool, type Pool, query } from "../../../services/shared/database/pool.ts";
import { createLog } from "../../../services/shared/telemetry/log.ts";
import { type EncodedMessage, encodeRecords, encodeUsages } from "./facts.ts";
import { type Parts, startParts } from "./parts.ts";
import { type ProcessSample, sampleProcess } from "./sample.ts";

/** How the ingest is measured. */
export interface IngestBenchOptions {
  /** Facts of each kind in a round. Default 100,000. Up to 400,000: they wait in the region's stream, which has its limit. */
  readonly facts?: number;
  /** Default 3. The first one warms up too: it is shown like the others. */
  readonly rounds?: number;
  /** First of 41 free ports. Default 9600. */
  readonly port?: number;
  /** Services on core 0, PostgreSQL and NATS on core 1 (Linux with `taskset`). Default true. */
  readonly pinned?: boolean;
  /** Only one of the two. Default both. */
  readonly only?: "metering" | "audit";
  /** Folder for CPU profiles of the services. */
  readonly cpuProfile?: string;
  /** Hears each round as it ends. */
  readonly onRound?: (round: IngestRound) => void;
}

/** What one round of one service came to. */
export interface IngestRound {
  readonly service: "metering" | "audit";
  readonly round: number;
  readonly facts: number;
  /** From the first commit to the last, for audit to the checkpoint that covers all. */
  readonly factsPerSecond: number;
  /** Only for audit: from the first commit to the last, not waiting for tree and checkpoint. */
  readonly sequencedPerSecond?: number;
  /** CPU of each process for one fact, from before the first to after the last, in microseconds. */
  readonly serviceCpuUs: number;
  readonly postgresCpuUs: number;
  readonly natsCpuUs: number;
  /** Resident memory of the service. */
  readonly rssStartBytes: number;
  readonly rssPeakBytes: number;
  readonly rssEndBytes: number;
}

/** All that was measured, and whether what was sent is what is stored. */
export interface IngestBenchResult {
  readonly rounds: readonly IngestRound[];
  /** Words for each thing that is not exactly as it was sent; empty when all is well. */
  readonly faults: readonly string[];
}

const POLL_MS = 50;
const PATIENCE_MS = 300_000;
const IN_FLIGHT = 8;
const log = createLog({ service: "bench", level: "silent" });

/**
 * Measures how many facts a second metering and audit take in: the real services, PostgreSQL and NATS, and messages of 500 facts that wait
 * in the region's stream while the service is stopped, so that the one who sends them costs the measurement nothing.
 */
export async function runIngestBench(options: IngestBenchOptions = {}): Promise<IngestBenchResult> {
  const { facts = 100_000, rounds = 3, port = 9600, pinned = true, only } = options;
  const parts = await startParts({
    port,
    pinned,
    ...(options.cpuProfile === undefined ? {} : { cpuProfile: options.cpuProfile }),
  });
  const benches = [
    ...(only === "audit" ? [] : [createMeteringBench(parts)]),
    ...(only === "metering" ? [] : [createAuditBench(parts)]),
  ];
  try {
    const done: IngestRound[] = [];
    for (let round = 1; round <= rounds; round++) {
      for (const bench of benches) {
        const result = await runRound(bench, parts, round, facts);
        options.onRound?.(result);
        done.push(result);
      }
    }
    const faults: string[] = [];
    for (const bench of benches) faults.push(...(await bench.findFaults(facts * rounds)));
    return { rounds: done, faults };
  } finally {
    for (const bench of benches) await bench.close();
    await parts.stop();
  }
}

/** One service under test. */
interface Bench {
  readonly service: "metering" | "audit";
  readonly run: Parts["metering"];
  encode(boot: string, count: number): EncodedMessage[];
  /** Sends messages into the region's stream. */
  fill(messages: readonly EncodedMessage[]): Promise<void>;
  /** How far a life is committed, and wholly done with. */
  progress(boot: string): Promise<{ committed: number; done: number }>;
  findFaults(facts: number): Promise<string[]>;
  close(): Promise<void>;
}

async function runRound(bench: Bench, parts: Parts, round: number, facts: number): Promise<IngestRound> {
  const boot = `round-${round}`;
  const messages = bench.encode(boot, facts);
  bench.run.signal("SIGSTOP");
  await bench.fill(messages);
  const before = sampleAll(bench, parts);
  bench.run.signal("SIGCONT");
  const { first, committed, done, rssPeakBytes } = await follow(bench, boot, facts);
  const after = sampleAll(bench, parts);
  const perFact = (a: ProcessSample, b: ProcessSample): number => (b.cpuUs - a.cpuUs) / facts;
  const rate = (atMs: number): number => ((facts - first.facts) * 1_000) / (atMs - first.atMs);
  return {
    service: bench.service,
    round,
    facts,
    factsPerSecond: rate(done),
    ...(bench.service === "audit" ? { sequencedPerSecond: rate(committed) } : {}),
    serviceCpuUs: perFact(before.service, after.service),
    postgresCpuUs: perFact(before.postgres, after.postgres),
    natsCpuUs: perFact(before.nats, after.nats),
    rssStartBytes: before.service.rssBytes,
    rssPeakBytes: Math.max(rssPeakBytes, after.service.rssBytes),
    rssEndBytes: after.service.rssBytes,
  };
}

async function follow(bench: Bench, boot: string, facts: number) {
  const deadline = performance.now() + PATIENCE_MS;
  let first: { facts: number; atMs: number } | undefined;
  let committed: number | undefined;
  let rssPeakBytes = 0;
  for (;;) {
    const now = await bench.progress(boot);
    const atMs = performance.now();
    rssPeakBytes = Math.max(rssPeakBytes, sampleProcess(bench.run.identity.pid).rssBytes);
    if (first === undefined && now.committed > 0) first = { facts: now.committed, atMs };
    if (committed === undefined && now.committed >= facts) committed = atMs;
    if (first !== undefined && committed !== undefined && now.done >= facts) {
      return { first, committed, done: atMs, rssPeakBytes };
    }
    if (bench.run.hasEnded || atMs > deadline) {
      throw new Error(`Cannot measure ${bench.service}: ${now.committed} of ${facts} facts are in, and no more come`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function sampleAll(bench: Bench, parts: Parts) {
  return {
    service: sampleProcess(bench.run.identity.pid),
    postgres: sampleProcess(parts.postgres.identity.pid),
    nats: sampleProcess(parts.nats.identity.pid),
  };
}

const PRODUCER = { region: "eu", instance: "eu-bench" };

function createMeteringBench(parts: Parts): Bench {
  const pool = createPool({ url: parts.databaseUrl("metering"), max: 1, log });
  const filler = createFiller(parts.usageUrl);
  return {
    service: "metering",
    run: parts.metering,
    encode: (boot, count) => encodeUsages({ ...PRODUCER, boot, count, nowMs: Date.now() }),
    fill: filler.fill,
    async progress(boot) {
      const committed = await readCursor(pool, boot);
      return { committed, done: committed };
    },
    async findFaults(facts) {
      const rows = await query<Record<string, bigint>>(
        pool,
        `select (select count(*) from usage) as usages, (select count(*) from parked_fact) as parked,
                (select coalesce(sum(calls), 0)::bigint from spend) as calls,
                (select coalesce(sum(cost_nanos), 0)::bigint from usage) as cost,
                (select coalesce(sum(said_nanos), 0)::bigint from usage) as said,
                (select coalesce(sum(cost_nanos), 0)::bigint from spend) as spend,
                (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry) as balance,
                (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry where account like 'spend/%') as charged,
                (select count(*) from producer_gap) as gaps`,
      );
      const { cost = 0n, ...row } = rows[0]!;
      const wanted = {
        usages: BigInt(facts),
        parked: 0n,
        calls: BigInt(facts),
        said: cost,
        spend: cost,
        charged: cost,
        balance: 0n,
        gaps: 0n,
      };
      return compare("metering", row, wanted);
    },
    close: () => closeAll(filler, pool),
  };
}

function createAuditBench(parts: Parts): Bench {
  const pool = createPool({ url: parts.databaseUrl("audit_eu"), max: 1, log });
  const filler = createFiller(parts.recordUrl);
  let before = 0;
  return {
    service: "audit",
    run: parts.audit,
    encode: (boot, count) => encodeRecords({ ...PRODUCER, boot, count, nowMs: Date.now() }),
    async fill(messages) {
      before = await readSize(pool);
      await filler.fill(messages);
    },
    progress: async (boot) => ({ committed: await readCursor(pool, boot), done: (await readSize(pool)) - before }),
    async findFaults(facts) {
      const rows = await query<Record<string, bigint>>(
        pool,
        `select sequenced, integrated, (select max(tree_size) from checkpoint) as covered, (select count(*) from record) as records,
                (select count(*) from record_place) as places, (select count(*) from subtree where level = 0) as leaves,
                (select count(*) from parked) as parked, (select count(*) from producer_gap) as gaps from log_state`,
      );
      const size = BigInt(facts);
      const wanted = {
        sequenced: size,
        integrated: size,
        covered: size,
        records: size,
        places: size,
        leaves: size,
        parked: 0n,
        gaps: 0n,
      };
      return compare("audit", rows[0]!, wanted);
    },
    close: () => closeAll(filler, pool),
  };
}

/** Publishes into the stream of the region, a few messages at a time. */
function createFiller(url: string) {
  const connecting = connectBus({ urls: [url], name: "bench", log });
  return {
    async fill(messages: readonly EncodedMessage[]): Promise<void> {
      const bus = await connecting;
      await bus.ready(AbortSignal.timeout(10_000));
      const waiting = messages[Symbol.iterator]();
      const send = async (): Promise<void> => {
        for (const message of waiting) await publish(bus, message);
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, send));
    },
    close: async (): Promise<void> => (await connecting).close(),
  };
}

async function closeAll(filler: { close(): Promise<void> }, pool: Pool): Promise<void> {
  await filler.close();
  await pool.end();
}

async function readCursor(pool: Pool, boot: string): Promise<number> {
  const rows = await query<{ highest: bigint }>(
    pool,
    `select highest - coalesce((select sum(last - first + 1) from producer_gap where boot = $1), 0)::bigint as highest
       from producer_cursor where boot = $1`,
    [boot],
  );
  return Number(rows[0]?.highest ?? 0n);
}

async function readSize(pool: Pool): Promise<number> {
  const rows = await query<{ size: bigint | null }>(pool, "select max(tree_size) as size from checkpoint");
  return Number(rows[0]?.size ?? 0n);
}

function compare(service: string, found: Record<string, bigint>, wanted: Record<string, bigint>): string[] {
  return Object.entries(wanted)
    .filter(([name, value]) => found[name] !== value)
    .map(([name, value]) => `${service}: ${name} is ${found[name]}, should be ${value}`);
}
