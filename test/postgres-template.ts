import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { preparePostgres } from "../cli/up/postgres.ts";
import { createSilentProgress } from "../cli/up/progress.ts";

/** Beside the packages, so that `npm ci`, which may bring another PostgreSQL, takes it away. */
const CACHE = join(import.meta.dirname, "../node_modules/.cache");
const TEMPLATE = join(CACHE, "postgres-template");

/**
 * Puts a PostgreSQL that was initialised before into the data directory of a mesh: the first test makes it, the others copy it, since `initdb`
 * takes longer than most tests. A directory that has one already is left as it is.
 */
export async function copyPostgres(dataDir: string): Promise<void> {
  const directory = join(dataDir, "postgres");
  if (existsSync(directory)) return;
  if (!existsSync(TEMPLATE)) await makeTemplate();
  cpSync(join(TEMPLATE, "postgres"), directory, { recursive: true });
  // PostgreSQL refuses data that others may look at.
  chmodSync(directory, 0o700);
  chmodSync(join(directory, "data"), 0o700);
}

async function makeTemplate(): Promise<void> {
  mkdirSync(CACHE, { recursive: true });
  const made = mkdtempSync(join(CACHE, "postgres-"));
  try {
    // The port is that of a server which is never started.
    await preparePostgres({ dataDir: made, port: 1, progress: createSilentProgress() });
    renameSync(made, TEMPLATE);
  } catch (error) {
    // Another worker may have been first.
    if (!existsSync(TEMPLATE)) throw error;
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}
