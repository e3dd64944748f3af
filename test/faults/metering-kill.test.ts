/** Metering, or a part that it stands on, dies at any moment: each usage that a producer sent is in the ledger exactly once. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { HOST } from "../../cli/up/layout.ts";
import { ChildRun, type ProcessOptions, readLogTail } from "../../cli/up/managed-process.ts";
import { createServiceProcess } from "../../cli/up/service-process.ts";
import type { UsageRecorded } from "../../gen/weir/event/v1/usage_recorded_pb.ts";
import { type Bus, connectBus } from "../../services/shared/bus/bus.ts";
import { publish } from "../../services/shared/bus/publish.ts";
import { ensureStream } from "../../services/shared/bus/streams.ts";
import { createPool, type Pool, query } from "../../services/shared/database/pool.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { startNatsMesh, startPostgres, type TestNatsMesh, type TestPostgres } from "../parts.ts";
import { getFreeBasePort } from "../ports.ts";
import { createUsageMessage, createUsages } from "../usages.ts";

const log = createLog({ service: "test", level: "silent" });
const COST = 7_500_000n;

let folder: string;
let port: number;
let postgres: TestPostgres;
let nats: TestNatsMesh;
let pool: Pool;
let bus: Bus;
let consumerBus: Bus;
let runs: ChildRun[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "weir-metering-kill-"));
  [postgres, nats, port] = await Promise.all([startPostgres(), startNatsMesh(), getFreeBasePort()]);
  pool = createPool({ url: postgres.url("metering"), log });
  bus = await connectBus({ urls: [nats.url("router-eu")], name: "producer", log });
  consumerBus = await connectBus({ urls: [nats.url("metering")], name: "consumer", log });
});

afterAll(async () => {
  await Promise.all([bus?.close(), consumerBus?.close()]);
  await pool?.end();
  await Promise.all([postgres?.stop(), nats?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(() => {
  runs = [];
});

afterEach(async ({ task }) => {
  // What does not come has its reason there: a test that waits for it in vain ends by time.
  if (task.result?.state === "fail") console.error(readLogTail(join(folder, "logs"), "metering-0"));
  for (const run of runs) run.signal("SIGKILL");
  await Promise.all(runs.map((run) => run.ended));
});

const metering = (instance = 0): ProcessOptions =>
  createServiceProcess({
    name: `metering-${instance}`,
    main: "services/metering/main.ts",
    port: port + instance,
    settings: {
      WEIR_DATABASE_URL: postgres.url("metering"),
      WEIR_NATS_URL: nats.url("metering"),
      WEIR_REGIONS: "eu,us",
    },
  });

/** Starts an instance and waits until it is ready; `instance` is 0 or 1. */
async function startMetering(instance = 0): Promise<ChildRun> {
  const options = metering(instance);
  const run = await ChildRun.start(options, join(folder, "logs"));
  runs.push(run);
  await until(async () => run.hasEnded || (await options.ready(AbortSignal.timeout(5_000))), Boolean);
  expect(run.hasEnded).toBe(false);
  return run;
}

async function killAndRestart(run: ChildRun): Promise<ChildRun> {
  run.signal("SIGKILL");
  await run.ended;
  return await startMetering();
}

/** Asks until the answer is the one wanted; the test's own time is the deadline. A failed question is asked again. */
async function until<T>(ask: () => Promise<T>, isIt: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined && isIt(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A producer as a router is one: keeps its usages, and sends again from the watermark when that does not move. */
class Producer {
  readonly usages: UsageRecorded[];
  readonly #boot: string;
  readonly #team: string;

  constructor(name: string, count: number) {
    this.#boot = name;
    this.#team = name;
    this.usages = createUsages(count, { boot: name, team: name, endedMs: Date.now() });
  }

  /** Sends what is above `after`, a few at a time. What the bus does not take is lost on the way. */
  async send(after = 0): Promise<void> {
    for (let start = after; start < this.usages.length; start += 5) {
      const { subject, payload, messageId } = createUsageMessage(this.usages.slice(start, start + 5));
      await publish(bus, { subject, payload, messageId, timeoutMs: 1_000 }).catch(() => {});
    }
  }

  /** Sends, and sends again from the watermark when it has not moved for 3 s, until all is committed. */
  async sendAll(): Promise<void> {
    let mark = await this.watermark();
    while (mark < BigInt(this.usages.length)) {
      await this.send(Number(mark));
      for (let before = -1n; before !== mark && mark < BigInt(this.usages.length); ) {
        before = mark;
        const deadline = performance.now() + 3_000;
        mark = await until(this.watermark, (now) => now > before || performance.now() > deadline);
      }
    }
  }

  readonly watermark = (): Promise<bigint> =>
    until(
      async () => {
        const response = await fetch(`http://${HOST}:${port}/weir.metering.v1.IntakeService/GetWatermark`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ region: "eu", instance: "eu-1", boot: this.#boot }),
          signal: AbortSignal.timeout(5_000),
        });
        if (!response.ok) throw new Error(`answered ${response.status}`);
        return BigInt(((await response.json()) as { seq?: string }).seq ?? "0");
      },
      () => true,
    );

  /** Everything that is in, from the database itself. */
  async inLedger(): Promise<Record<string, bigint>> {
    const rows = await query<Record<string, bigint>>(
      pool,
      `select (select count(*) from usage where team = $1) as usages,
              (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry where account like 'spend/acme/' || $1 || '/%') as charged,
              (select coalesce(sum(calls), 0)::bigint from spend where team = $1) as calls,
              (select coalesce(sum(cost_nanos), 0)::bigint from spend where team = $1) as spend,
              (select coalesce(sum(amount_nanos), 0)::bigint from ledger_entry) as balance,
              (select count(*) from parked_fact) as parked`,
      [this.#team],
    );
    return rows[0] ?? {};
  }

  async expectExactlyOnce(): Promise<void> {
    const count = BigInt(this.usages.length);
    const cost = COST * count;
    expect(await this.inLedger()).toEqual({
      usages: count,
      charged: cost,
      calls: count,
      spend: cost,
      balance: 0n,
      parked: 0n,
    });
  }
}

/** How many messages the region's server still keeps; only its consumer may ask, through the hub. */
async function waitingMessages(): Promise<number> {
  const connection = await consumerBus.ready(AbortSignal.timeout(10_000));
  const manager = await connection.jetstreamManager({ domain: "eu", timeout: 1_000, checkAPI: false });
  return (await manager.streams.info("USAGE")).state.messages;
}

describe("metering is killed", () => {
  it("between commit and acknowledgement: the usages come again and change nothing", async () => {
    let run = await startMetering();
    await ensureStream(consumerBus, "USAGE", "eu", { domain: "eu" });
    const producer = new Producer("commit-ack", 10);
    // The insert waits for this lock, so that the moment of the commit is ours to choose.
    const lock = await pool.connect();
    await lock.query("begin; lock table usage in share row exclusive mode");
    await producer.send();
    await until(
      () => query(pool, "select 1 from pg_locks where relation = 'usage'::regclass and not granted"),
      (rows) => rows.length > 0,
    );

    // The acknowledgement must pass the hub, which takes nothing any more.
    nats.hub.freeze();
    await lock.query("rollback");
    lock.release();
    await until(
      () => query(pool, "select 1 from usage where team = 'commit-ack'"),
      (rows) => rows.length > 0,
    );
    run.signal("SIGKILL");
    await run.ended;
    await nats.hub.kill();
    await nats.hub.restart();
    const waiting = await until(waitingMessages, () => true);
    run = await startMetering();

    expect(waiting).toBeGreaterThan(0);
    await until(waitingMessages, (left) => left === 0);
    await until(
      () => producer.inLedger(),
      ({ usages }) => usages === 10n,
    );
    await producer.expectExactlyOnce();
  });

  it("again and again while usages come", async () => {
    let run = await startMetering();
    const producer = new Producer("again", 300);
    const sending = producer.sendAll();

    for (const count of [1n, 60n, 150n]) {
      await until(
        () => producer.inLedger(),
        ({ usages }) => (usages ?? 0n) >= count,
      );
      run = await killAndRestart(run);
    }
    await sending;

    await producer.expectExactlyOnce();
  });
});

describe("a part is killed while usages come", () => {
  it("PostgreSQL", async () => {
    await startMetering();
    const producer = new Producer("postgres", 300);
    const sending = producer.sendAll();

    for (const count of [1n, 150n]) {
      await until(
        () => producer.inLedger(),
        ({ usages }) => (usages ?? 0n) >= count,
      );
      await postgres.kill();
      await postgres.restart();
    }
    await sending;

    await producer.expectExactlyOnce();
  });

  it("the hub, and the region's server", async () => {
    await startMetering();
    const producer = new Producer("nats", 300);
    const sending = producer.sendAll();

    for (const [count, server] of [
      [1n, nats.hub],
      [100n, nats.leaves.eu],
      [200n, nats.hub],
    ] as const) {
      await until(
        () => producer.inLedger(),
        ({ usages }) => (usages ?? 0n) >= count,
      );
      await server.kill();
      await server.restart();
    }
    await sending;

    await producer.expectExactlyOnce();
  });
});

describe("metering", () => {
  it("may run as two instances that start at once on an empty bus, and one may be killed: they share the work", async () => {
    const [, second] = await Promise.all([startMetering(0), startMetering(1)]);
    const posted = async (instance: number): Promise<number> => {
      const page = await (await fetch(`http://${HOST}:${port + instance}/metrics`)).text();
      return Number(/^weir_metering_events_total\{result="posted"\} (\d+)$/m.exec(page)?.[1]);
    };
    const producers: Producer[] = [];
    while (Math.min(await posted(0), await posted(1)) === 0) {
      const producer = new Producer(`two-${producers.length}`, 20);
      producers.push(producer);
      await producer.sendAll();
    }

    const killed = new Producer("two-killed", 300);
    producers.push(killed);
    const sending = killed.sendAll();
    await until(
      () => killed.inLedger(),
      ({ usages }) => (usages ?? 0n) > 0n,
    );
    second.signal("SIGKILL");
    await sending;

    for (const producer of producers) await producer.expectExactlyOnce();
  });

  it("starts before its database and its bus, says that it is not ready, and works when they are up", async () => {
    await Promise.all([postgres.kill(), nats.hub.kill()]);
    const run = await ChildRun.start(metering(), join(folder, "logs"));
    runs.push(run);
    const readyz = async () =>
      (await fetch(`http://${HOST}:${port}/readyz`, { signal: AbortSignal.timeout(5_000) })).status;
    expect(await until(readyz, Boolean)).toBe(503);

    await Promise.all([postgres.restart(), nats.hub.restart()]);
    await until(readyz, (status) => status === 200);
    const producer = new Producer("late-start", 20);
    await producer.sendAll();

    await producer.expectExactlyOnce();
  });

  it("stops with code 0 on SIGTERM while usages come, and its successor loses none", async () => {
    const run = await startMetering();
    const producer = new Producer("term", 200);
    const sending = producer.sendAll();
    await until(
      () => producer.inLedger(),
      ({ usages }) => (usages ?? 0n) >= 1n,
    );

    run.signal("SIGTERM");
    expect(await run.ended).toBe("exited with code 0");
    await startMetering();
    await sending;

    await producer.expectExactlyOnce();
  });
});
