import { afterAll, beforeAll, expect, it } from "vitest";
import { startPostgres, type TestPostgres } from "../../test/parts.ts";
import { systemClock } from "../shared/clock.ts";
import { createPool, type Pool, query } from "../shared/database/pool.ts";
import { transaction } from "../shared/database/transaction.ts";
import { advance } from "../shared/database/watermark.ts";
import { Health } from "../shared/mesh/health.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { openStore } from "./store/open-store.ts";
import { keepUp } from "./upkeep.ts";

const log = createLog({ service: "test", level: "fatal" });
// Intervals pass at once: the database sets the pace.
const clock = { ...systemClock, sleep: (_: number, signal?: AbortSignal) => systemClock.sleep(5, signal) };
let postgres: TestPostgres;
let pool: Pool;

beforeAll(async () => {
  postgres = await startPostgres();
  pool = createPool({ url: postgres.url("metering"), log });
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

async function until(health: Health, ready: boolean): Promise<void> {
  for await (const readiness of health.watch(AbortSignal.timeout(20_000))) if (readiness.ready === ready) return;
  throw new Error(`Cannot wait longer for ready: ${ready}`);
}

it("opens when the database comes up; is ready while it answers; tells what has been missing for a minute", async () => {
  const stopping = new AbortController();
  const { signal } = stopping;
  const health = new Health();
  const metrics = createMetrics("metering", { process: false });
  await postgres.kill();

  const opening = openStore({ url: postgres.url("metering"), pool, clock, log, signal });
  await postgres.restart();
  await opening;
  const keeping = keepUp({ pool, health, metrics, clock, log, signal });
  await until(health, true);
  await postgres.kill();
  await until(health, false);
  await postgres.restart();
  await until(health, true);

  const at = (seq: bigint) => ({ region: "eu", producer: "eu-1", boot: "b", seq });
  await transaction(pool, (client) => advance(client, [at(1n), at(6n)]));
  const missing = async () => /^weir_metering_missing_events (\d+)$/m.exec(await metrics.page())?.[1];
  expect(await missing()).toBe("0");
  await query(pool, "update producer_gap set since = since - interval '2 minutes'");
  while ((await missing()) !== "4") await systemClock.sleep(10);
  stopping.abort();
  await keeping;
}, 60_000);
