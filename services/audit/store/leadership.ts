import type { Clock } from "../../shared/clock.ts";
import { toDatabaseError } from "../../shared/database/database-error.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** That this process leads, as far as the database knows. */
export interface Leadership {
  /** Fires when the connection that holds the lock breaks: somebody else may lead from then on. */
  readonly lost: AbortSignal;
  /** Gives the lead up. Safe to call twice. */
  release(): void;
}

/** How a lead is kept. */
export interface LeadOptions {
  readonly clock: Clock;
  /** How long a leader that says nothing, because it is frozen or cut off, keeps others from leading, ms. Default 10,000. */
  readonly leaseMs?: number;
}

/**
 * Tries to become the one process that writes this log; undefined while another one is. The lock is the session's, so PostgreSQL
 * frees it when this process dies; the session says something in time, or PostgreSQL ends it. It only chooses who works: what keeps
 * a leader that lost it from writing is the epoch.
 */
export async function tryToLead(pool: Pool, { clock, leaseMs = 10_000 }: LeadOptions): Promise<Leadership | undefined> {
  const client = await pool.connect().catch((error: unknown) => {
    throw toDatabaseError("take the lead of the log", error);
  });
  const lost = new AbortController();
  const onEnd = (): void => lost.abort();
  client.on("error", onEnd);
  client.on("end", onEnd);
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    lost.abort();
    // Closing the connection is what frees the lock; a connection that may hold it must not go back into the pool.
    client.release(true);
  };
  try {
    const rows = await query<{ locked: boolean }>(
      client,
      "select pg_try_advisory_lock(hashtextextended('weir.audit.log', 0)) as locked",
    );
    if (rows[0]?.locked) {
      await query(client, "select set_config('idle_session_timeout', $1, false)", [String(leaseMs)]);
      void renew(client, clock, leaseMs / 4, lost);
      return { lost: lost.signal, release };
    }
  } catch (error) {
    release();
    throw error;
  }
  // Another instance asks each second for as long as it stands by: this connection holds nothing, and serves again.
  client.off("error", onEnd);
  client.off("end", onEnd);
  client.release();
  return undefined;
}

/** Says something on the session, so that PostgreSQL sees that its holder is alive; ends when the lead does. */
async function renew(client: PoolClient, clock: Clock, everyMs: number, lost: AbortController): Promise<void> {
  while (!lost.signal.aborted) {
    try {
      await clock.sleep(everyMs, lost.signal);
      await query(client, "select 1");
    } catch {
      // Over, or the connection is broken: either way this process leads no longer.
      lost.abort();
    }
  }
}
