import type { Clock } from "../../shared/clock.ts";
import { migrateWhenUp } from "../../shared/database/migrate.ts";
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

/**
 * Brings the database to the newest schema and makes the first partitions, before the first row comes that would have to go into
 * the default one. Waits for a database that is away, until the signal fires; throws only when a migration is wrong.
 */
export async function openStore({ url, pool, clock, log, signal }: OpenStoreOptions): Promise<void> {
  await migrateWhenUp({ url, directory: `${import.meta.dirname}/migrations`, clock, log, signal });
  if (signal.aborted) return;
  // Not a reason to stop: a backup may hold their lock for hours, and without them rows go into the default partition. Upkeep tries again.
  await ensurePartitions(pool, clock.nowMs()).catch((error) => log.error({ error }, "Cannot make partitions"));
}
