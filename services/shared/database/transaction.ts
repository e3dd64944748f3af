import pg from "pg";
import { WeirError } from "../errors/weir-error.ts";
import { toDatabaseError } from "./database-error.ts";
import type { Pool, PoolClient } from "./pool.ts";

/** What may end a transaction early. */
export interface TransactionOptions {
  /** When it fires, the connection is cut, the server rolls back, and the call throws UNAVAILABLE. */
  readonly signal?: AbortSignal;
}

/**
 * Runs `fn` in one transaction: committed when it resolves, rolled back when it throws. What `fn` throws, the caller gets; errors of the
 * database come as WeirError. Throws INTERNAL when `fn` resolves although one of its statements failed: nothing is committed then. An error
 * during COMMIT leaves open whether it happened: what `fn` does must be safe to repeat. `fn` must not keep the client.
 */
export async function transaction<T>(
  pool: Pool,
  fn: (client: PoolClient) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  const { signal } = options;
  signal?.throwIfAborted();
  let client: PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    throw toDatabaseError("begin a transaction", error);
  }
  let released = false;
  const release = (broken: boolean): void => {
    if (released) return;
    released = true;
    if (broken) cutConnection(client);
    client.release(broken);
  };
  const cut = (): void => release(true);
  signal?.addEventListener("abort", cut, { once: true });
  let broken = true;
  try {
    signal?.throwIfAborted();
    await client.query("begin");
    const result = await fn(client);
    const { command } = await client.query("commit");
    broken = false;
    // PostgreSQL answers so, and with no error, when a statement had failed before.
    if (command === "ROLLBACK") throw rolledBack();
    return result;
  } catch (error) {
    broken = released || isTimeout(error) || (await isBroken(client));
    // What `fn` threw by itself passes; what a broken connection made it throw is told as that.
    throw broken || error instanceof pg.DatabaseError ? toDatabaseError("finish a transaction", error) : error;
  } finally {
    signal?.removeEventListener("abort", cut);
    release(broken);
  }
}

function rolledBack(): WeirError {
  return new WeirError("INTERNAL", "Cannot commit a transaction: one of its statements had failed, it was rolled back");
}

// By itself the pool would wait for the answers that are under way, which a pipelined connection is taken to get.
function cutConnection(client: PoolClient): void {
  const { connection } = client as PoolClient & { readonly connection: pg.Connection };
  connection.stream.destroy();
}

// pg reports an answer that did not come in time with this text and nothing else; the connection still waits for the answer.
function isTimeout(error: unknown): boolean {
  const found = error instanceof WeirError ? error.cause : error;
  return found instanceof Error && found.message === "Query read timeout";
}

async function isBroken(client: PoolClient): Promise<boolean> {
  try {
    await client.query("rollback");
    return false;
  } catch {
    // The first error says what happened; this one only says that the connection must not be used again.
    return true;
  }
}
