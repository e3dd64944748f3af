import { type Clock, pause } from "../../shared/clock.ts";
import { toDatabaseError } from "../../shared/database/database-error.ts";
import type { Pool, PoolClient } from "../../shared/database/pool.ts";
import { query } from "../../shared/database/pool.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import { CHANNEL } from "./change.ts";

/** What a listener needs. */
export interface ListenOptions {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the listening. */
  readonly signal: AbortSignal;
  /**
   * Called when some instance changed something, and each time that the connection stands anew, since what was said while it
   * was down is lost: read everything again. Called synchronously; must not throw.
   */
  readonly onChange: () => void;
}

const RETRY_MS = 1_000;
/** A connection whose other end is gone says nothing; this is how often it is asked. */
const PROBE_MS = 10_000;

/** Listens for changes until the signal fires; resolves then and never throws. The database may be away and come back. */
export async function listenForChanges(options: ListenOptions): Promise<void> {
  const { clock, log, signal } = options;
  let isReported = false;
  while (!signal.aborted) {
    try {
      await listenOnce(options, () => {
        isReported = false;
      });
    } catch (error) {
      // Once an outage, not once a second.
      if (!signal.aborted && !isReported) log.warn({ error }, "Cannot listen for changes; trying for ever");
      isReported = true;
    }
    await pause(clock, RETRY_MS, signal);
  }
}

async function listenOnce({ pool, clock, signal, onChange }: ListenOptions, onStand: () => void): Promise<void> {
  const client: PoolClient = await pool.connect().catch((error: unknown) => {
    throw toDatabaseError("listen for changes", error);
  });
  const broken = new AbortController();
  const onError = (error: Error): void => broken.abort(toDatabaseError("listen for changes", error));
  client.on("error", onError);
  client.on("notification", onChange);
  try {
    await query(client, `listen ${CHANNEL}`);
    onStand();
    onChange();
    const ending = AbortSignal.any([signal, broken.signal]);
    for (;;) {
      await pause(clock, PROBE_MS, ending);
      if (signal.aborted) return;
      broken.signal.throwIfAborted();
      await query(client, "select 1");
    }
  } finally {
    client.off("notification", onChange);
    // It listens: nobody else may get it.
    client.release(true);
    client.off("error", onError);
  }
}
