import { join } from "node:path";
import type { Clock } from "../../shared/clock.ts";
import { migrate } from "../../shared/database/migrate.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { Log } from "../../shared/telemetry/log.ts";

const RETRY_MS = 1_000;

/**
 * Brings the database to this build's schema, waiting for a database that is away for as long as it takes. Resolves when done or when
 * the signal fires; throws only what waiting can't mend.
 */
export async function migrateStore(options: {
  readonly url: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { url, clock, log, signal } = options;
  let waiting = false;
  while (!signal.aborted) {
    try {
      return await migrate({ url, directory: join(import.meta.dirname, "migrations"), log });
    } catch (error) {
      if (!(error instanceof WeirError) || error.reason !== "UNAVAILABLE") throw error;
      if (!waiting) log.warn({ error }, "Cannot reach the database; waiting for it");
      waiting = true;
    }
    await clock.sleep(RETRY_MS, signal).catch(() => {});
  }
}
