import { runner } from "node-pg-migrate";
import pg from "pg";
import { type Clock, pause } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Log } from "../telemetry/log.ts";
import { isSchemaMissing, toDatabaseError } from "./database-error.ts";

/** Where the migrations are and where they go. */
export interface MigrateOptions {
  /** The database, with the role that owns its tables. */
  readonly url: string;
  /** Folder of `<number>_<name>.sql` files, each with a part `-- Up Migration`. Applied in the order of their numbers. */
  readonly directory: string;
  readonly log: Log;
  /** How long to wait for another process that is migrating. Default 60,000. */
  readonly lockTimeoutMs?: number;
}

/**
 * Brings the database to the newest schema: all missing migrations in one transaction, so that a death half way leaves the
 * old schema. Several processes may start at once; one migrates, the others wait for it. Throws UNAVAILABLE when the
 * database cannot be reached, INTERNAL when a migration is wrong or the database has had others than these.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const client = new pg.Client({
    connectionString: options.url,
    connectionTimeoutMillis: 5_000,
    // A rewrite of a large table takes its time; waiting for a lock that live traffic holds must not take long.
    lock_timeout: options.lockTimeoutMs ?? 60_000,
    application_name: "weir-migrate",
  });
  let isConnected = false;
  client.on("error", (error) => {
    isConnected = false;
    options.log.warn({ error }, "The migrating database connection broke");
  });
  try {
    await client.connect();
    isConnected = true;
    const applied = await runner({
      dbClient: client,
      dir: options.directory,
      direction: "up",
      migrationsTable: "migration",
      advisoryLockMode: "wait",
      singleTransaction: true,
      log: () => {},
    });
    for (const { name } of applied) options.log.info({ migration: name }, "Applied a migration");
  } catch (error) {
    // What the runner finds wrong with files and history comes as plain errors, as a broken connection does; waiting mends only that one.
    if (isConnected && !(error instanceof pg.DatabaseError)) {
      throw new WeirError(
        "INTERNAL",
        "Cannot migrate the database: its history and the migrations of this build differ",
        {
          cause: error,
        },
      );
    }
    // Nobody else brings what a migration itself does not find.
    if (isSchemaMissing(error)) {
      throw new WeirError(
        "INTERNAL",
        "Cannot migrate the database: a migration needs a table or column that is not there",
        {
          cause: error,
        },
      );
    }
    throw toDatabaseError("migrate the database", error);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Where the migrations go, and how long they are waited for. */
export interface MigrateWhenUpOptions extends MigrateOptions {
  readonly clock: Clock;
  /** Gives up waiting. */
  readonly signal: AbortSignal;
}

const RETRY_MS = 1_000;

/**
 * As {@link migrate}, for a service that starts before its database: waits for one that is away for as long as it takes, and says so
 * once. Resolves when the schema is there or the signal fires; throws INTERNAL when a migration is wrong.
 */
export async function migrateWhenUp({ clock, signal, ...options }: MigrateWhenUpOptions): Promise<void> {
  let isReported = false;
  while (!signal.aborted) {
    try {
      return await migrate(options);
    } catch (error) {
      if (!(error instanceof WeirError) || error.reason !== "UNAVAILABLE") throw error;
      if (!isReported) options.log.warn({ error }, "Cannot reach the database; waiting for it");
      isReported = true;
    }
    await pause(clock, RETRY_MS, signal);
  }
}
