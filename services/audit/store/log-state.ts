import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import { transaction } from "../../shared/database/transaction.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";

/** How far the log has come. */
export interface LogState {
  /** Records that have a place: the index of the next one. */
  readonly sequenced: bigint;
  /** Records in the stored tree, at most `sequenced`. */
  readonly integrated: bigint;
}

/** A right to write, valid until somebody else takes it: by the epoch that every write names. */
export interface Lead {
  readonly epoch: bigint;
}

/**
 * Takes the right to write: every earlier `Lead` is fenced from now on. Makes the state when the database is new. Throws
 * SETTING_INVALID when the database holds the log of another origin, which would mix two logs for ever.
 */
export async function takeLead(pool: Pool, origin: string): Promise<Lead> {
  return await transaction(pool, async (client) => {
    await query(client, "insert into log_state (origin) values ($1) on conflict do nothing", [origin]);
    const rows = await query<{ origin: string; epoch: bigint }>(
      client,
      "update log_state set epoch = epoch + 1 returning origin, epoch",
    );
    const row = rows[0];
    if (row?.origin !== origin) {
      throw new WeirError("SETTING_INVALID", `Cannot open log: the database holds "${row?.origin}", not "${origin}"`, {
        facts: { stored: row?.origin ?? "", configured: origin },
      });
    }
    return { epoch: row.epoch };
  });
}

/**
 * Runs `write` in a transaction that holds the log's state: writers take turns, and one whose lead was taken over meanwhile gets
 * UNAVAILABLE and has written nothing. This holds even for a leader that was frozen and does not know yet that it lost.
 */
export async function writeLog<T>(
  pool: Pool,
  lead: Lead,
  write: (client: PoolClient, state: LogState) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const locked = async (client: PoolClient): Promise<T> => {
    // A writer that freezes while it holds the state must not hold up its successor for longer than its lead lasts.
    const [, rows] = await Promise.all([
      query(client, "select set_config('idle_in_transaction_session_timeout', '10000', true)"),
      query<LogState & { epoch: bigint }>(client, "select epoch, sequenced, integrated from log_state for update"),
    ]);
    const state = rows[0];
    if (state?.epoch !== lead.epoch) {
      throw new WeirError("UNAVAILABLE", `Cannot write log: epoch is ${state?.epoch}, ours is ${lead.epoch}`);
    }
    return await write(client, { sequenced: state.sequenced, integrated: state.integrated });
  };
  return await transaction(pool, locked, signal ? { signal } : {});
}

/** How far the log has come; nothing when no instance has ever led. */
export async function getLogState(pool: Pool): Promise<LogState> {
  const rows = await query<LogState & Record<string, unknown>>(pool, "select sequenced, integrated from log_state");
  return rows[0] ?? { sequenced: 0n, integrated: 0n };
}

/** Notes how many records have a place. Inside `writeLog`. */
export async function setSequenced(client: PoolClient, sequenced: bigint): Promise<void> {
  await query(client, "update log_state set sequenced = $1", [sequenced]);
}

/** Notes how many records are in the stored tree. Inside `writeLog`. */
export async function setIntegrated(client: PoolClient, integrated: bigint): Promise<void> {
  await query(client, "update log_state set integrated = $1", [integrated]);
}
