import { type Clock, pause } from "../shared/clock.ts";
import type { Pool } from "../shared/database/pool.ts";
import { listMissing } from "../shared/database/watermark.ts";
import type { Health } from "../shared/mesh/health.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import { countParked } from "./store/parked.ts";
import { ensurePartitions } from "./store/partitions.ts";

/** What is kept up. */
export interface UpkeepOptions {
  readonly pool: Pool;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const INTERVAL_MS = 5_000;
/** The store makes the first partitions when it is opened. */
const PARTITIONS_INTERVAL_MS = 3_600_000;
/** A fact that is missing for this long while later ones of its producer are there is an alarm. */
const MISSING_ALARM_MS = 60_000;

/**
 * Looks after the store until the signal fires: partitions for the days ahead, how much is parked or missing, and whether
 * PostgreSQL answers, on which readiness depends. NATS may be away: what is posted can still be asked for.
 */
export async function keepUp(options: UpkeepOptions): Promise<void> {
  const { pool, health, clock, log, signal } = options;
  let partitionsAtMs = clock.monotonicMs();
  let well = true;
  let complete = true;
  while (!signal.aborted) {
    try {
      const missing = await measure(options);
      if (complete && missing > 0)
        log.warn({ missing }, "Usages are missing; their routers are asked for them by the watermark");
      complete = missing === 0;
      health.setReady();
      if (!well) log.info("The database answers again");
      well = true;
    } catch (error) {
      health.setNotReady("the database does not answer");
      if (well) log.error({ error }, "The database does not answer; trying for ever");
      well = false;
    }
    if (well && clock.monotonicMs() - partitionsAtMs >= PARTITIONS_INTERVAL_MS) {
      partitionsAtMs = clock.monotonicMs();
      // Not a reason to stop: without them rows go into the default partition.
      await ensurePartitions(pool, clock.nowMs()).catch((error) => log.error({ error }, "Cannot make partitions"));
    }
    await pause(clock, INTERVAL_MS, signal);
  }
}

// Returns how many usages have been missing for too long.
async function measure({ pool, metrics, clock }: UpkeepOptions): Promise<number> {
  metrics.weir_metering_parked_events.set(await countParked(pool));
  const ranges = await listMissing(pool, new Date(clock.nowMs() - MISSING_ALARM_MS));
  const missing = ranges.reduce((sum, { first, last }) => sum + Number(last - first + 1n), 0);
  metrics.weir_metering_missing_events.set(missing);
  return missing;
}
