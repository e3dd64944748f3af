import pg from "pg";
import type { Log } from "../telemetry/log.ts";
import { toDatabaseError } from "./database-error.ts";

/** Connections to one PostgreSQL database. Made by {@link createPool}; closed with `pool.end()`. */
export type Pool = pg.Pool;
/** One connection inside a transaction. Valid only until the function it was handed to has settled. */
export type PoolClient = pg.PoolClient;

/** How a pool is made. */
export interface PoolOptions {
  /** `postgres://user:password@host:port/database`. Never logged. */
  readonly url: string;
  /** Most connections, from 1. Default 8. A waiting query fails with UNAVAILABLE after 5 s. */
  readonly max?: number;
  /** Where broken idle connections are reported. */
  readonly log: Log;
}

/** The server gives up a statement after this long. */
const STATEMENT_TIMEOUT_MS = 10_000;
/** The server gives up waiting for a lock after this long. */
const LOCK_TIMEOUT_MS = 5_000;
/** We give up getting a connection after this long. */
const CONNECT_TIMEOUT_MS = 5_000;
/**
 * We give up an answer after this long. Longer than the server's own limit, for the case that the server is frozen or
 * unreachable and cannot apply it.
 */
const QUERY_TIMEOUT_MS = 12_000;

// Known to pg 8.22 and later, though not to its types.
const PIPELINED = { pipeline: true };

const INT8 = 20;
const INT8_ARRAY = 1016;
const DATE = 1082;

/**
 * Makes a pool. Statements that are handed to one connection together (`Promise.all` within a transaction) are sent together, and answered
 * in their order: a busy process holds its locks for one turn of its event loop, not for one a statement. Nothing connects until the first query, so the database need not be up. int8 comes back as BigInt, so that
 * money and counters never pass through a JavaScript number; date comes back as its text `YYYY-MM-DD`.
 */
export function createPool(options: PoolOptions): Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.max ?? 8,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: 30_000,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    application_name: "weir",
    types: { getTypeParser },
    ...PIPELINED,
  });
  // Without a listener, a server that closes an idle connection would end the process.
  pool.on("error", (error) => options.log.warn({ error }, "An idle database connection broke"));
  // The same of one that is handed out, and from its first moment: a server that dies says so right behind its greeting, before whoever
  // waited for the connection has it. The next statement fails and tells them.
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}

/** Runs one statement outside a transaction. Use it for reads and for single writes that are safe to repeat. */
export async function query<Row extends pg.QueryResultRow>(
  pool: Pool | PoolClient,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  try {
    const result = await pool.query<Row>(text, [...values]);
    return result.rows;
  } catch (error) {
    throw toDatabaseError("query the database", error);
  }
}

// The parsers are those of this pool only: pg.types is global to the process and belongs to nobody.
function getTypeParser(oid: number, format?: "text" | "binary"): (value: string) => unknown {
  if (format !== "binary") {
    if (oid === INT8) return BigInt;
    if (oid === INT8_ARRAY) return (value) => (value === "{}" ? [] : value.slice(1, -1).split(",").map(BigInt));
    if (oid === DATE) return (value) => value;
  }
  return pg.types.getTypeParser(oid, format as "text");
}
