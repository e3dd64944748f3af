import type { Clock } from "../../shared/clock.ts";
import { migrate } from "../../shared/database/migrate.ts";
import type { Pool } from "../../shared/database/pool.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import { ensurePartitions } from "./partitions.ts";

/** How the store is opened. */
export interface OpenStoreOptions {
  readonly url: string;
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  /** Gives up. */
  readonly signal: AbortSignal;
}

const RETRY_MS = 1_000;

/**
 * Brings the database to the newest schema and makes the first partitions, before the first row comes that would have to go into
 * the default one. The database may come up after us: tries for ever. Returns false when the signal fired before.
 */
export async function openStore({ url, pool, clock, log, signal }: OpenStoreOptions): Promise<boolean> {
  let reported = false;
  while (!signal.aborted) {
    try {
      await migrate({ url, directory: `${import.meta.dirname}/migrations`, log });
      await ensurePartitions(pool, clock.nowMs());
      return true;
    } catch (error) {
      if (!reported) log.error({ error }, "Cannot open the store; trying for ever");
      reported = true;
      await clock.sleep(RETRY_MS, signal).catch(() => {});
    }
  }
  return false;
}
