import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createPool, type Pool, query } from "../../services/shared/database/pool.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { HOST } from "./layout.ts";
import type { ProcessOptions } from "./managed-process.ts";
import { type FindPostgresOptions, findPostgres, type PostgresBinaries } from "./postgres-binaries.ts";
import type { Progress } from "./progress.ts";
import { readOrCreatePasswords } from "./secret-file.ts";

/** Who owns a database. The name is that of the database and of the one role (besides the administrator) that may connect to it. */
export const OWNERS = ["policy", "metering", "audit_control", "audit_eu", "audit_us"] as const;

/** An owner of a database. */
export type Owner = (typeof OWNERS)[number];

const ADMINISTRATOR = "weir";

/** The development mesh's PostgreSQL server. */
export interface Postgres {
  /** For the supervisor. */
  readonly process: ProcessOptions;
  /** Makes the role and the database of each owner, where missing. Call it once the server is ready. */
  createDatabases(): Promise<void>;
  /** The URL with which an owner connects, its password included. */
  url(owner: Owner): string;
}

/** Options of {@link preparePostgres}. */
export interface PostgresOptions extends FindPostgresOptions {
  /** The data directory of the mesh; the server's data and passwords are below its folder `postgres`, made when missing. */
  readonly dataDir: string;
  readonly port: number;
  readonly progress: Progress;
}

/**
 * Makes the data directory (`initdb`, UTF8, locale C, so that text sorts by bytes everywhere) on the first start, and says how to
 * start the server. Every connection is over loopback TCP with a SCRAM password; a role gets into its own database only. fsync is
 * on: what is committed stays committed when the machine loses power.
 */
export async function preparePostgres(options: PostgresOptions): Promise<Postgres> {
  const { dataDir, port } = options;
  const directory = join(dataDir, "postgres");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const binaries = await findPostgres(dataDir, options);
  if (binaries.note) {
    options.progress.note(binaries.note);
  }
  const passwords = readOrCreatePasswords(join(directory, "passwords.json"), [ADMINISTRATOR, ...OWNERS]);
  const data = join(directory, "data");
  if (binaries.uid !== undefined) {
    // The user nobody must pass through, not list: 0711. The passwords and keys beside stay with root.
    chmodSync(dataDir, 0o711);
    chmodSync(directory, 0o711);
  }
  if (!existsSync(data)) {
    const started = performance.now();
    await initialise(binaries, directory, data, passwords[ADMINISTRATOR]);
    options.progress.done("initialise PostgreSQL", performance.now() - started);
  }
  giveTo(data, binaries.uid ?? process.getuid?.() ?? 0);
  // Written at each start: a later version of weir may have more owners.
  writeOwned(join(data, "pg_hba.conf"), createHostRules(), binaries.uid);

  const asAdministrator = async <Result>(use: (pool: Pool) => Promise<Result>): Promise<Result> => {
    const url = `postgres://${ADMINISTRATOR}:${passwords[ADMINISTRATOR]}@${HOST}:${port}/postgres`;
    // The server may go away while we are connected: the query in hand fails by itself, nobody wants a line of log.
    const pool = createPool({ url, max: 1, log: createLog({ service: "weir up", level: "silent" }) });
    try {
      return await use(pool);
    } finally {
      await pool.end();
    }
  };

  return {
    url: (owner) => `postgres://${owner}:${passwords[owner]}@${HOST}:${port}/${owner}`,
    process: {
      name: "postgres",
      ...binaries.command("postgres", createServerArguments(data, port)),
      ...(binaries.uid === undefined ? {} : { uid: binaries.uid }),
      environment: { PATH: process.env.PATH ?? "", LC_ALL: "C", TZ: "UTC" },
      // "Fast" shutdown: sessions are ended, data is written. SIGTERM would wait for every session to leave by itself.
      stopSignal: "SIGINT",
      stopTimeoutMs: 20_000,
      readyTimeoutMs: 60_000, // recovery after a kill reads the write-ahead log first
      detail: `${HOST}:${port}`,
      ready: () => asAdministrator(async (pool) => (await query(pool, "SELECT 1")).length === 1),
    },
    createDatabases: () =>
      asAdministrator(async (pool) => {
        for (const owner of OWNERS) {
          await createDatabase(pool, owner, passwords[owner]);
        }
      }),
  };
}

async function createDatabase(pool: Pool, owner: Owner, password: string): Promise<void> {
  // Utility statements take no parameters; the names are ours and the password is hexadecimal.
  const roles = await query(pool, "SELECT 1 FROM pg_roles WHERE rolname = $1", [owner]);
  const verb = roles.length > 0 ? "ALTER" : "CREATE";
  await query(pool, `${verb} ROLE ${owner} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '${password}'`);
  const databases = await query(pool, "SELECT 1 FROM pg_database WHERE datname = $1", [owner]);
  if (databases.length === 0) {
    await query(pool, `CREATE DATABASE ${owner} OWNER ${owner} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`);
  }
  await query(pool, `REVOKE ALL ON DATABASE ${owner} FROM PUBLIC`);
}

function createHostRules(): string {
  const line = (database: string, user: string) => `host ${database} ${user} ${HOST}/32 scram-sha-256`;
  return `${[
    "# Written by weir at each start. Each role reaches its own database and no other.",
    line("all", ADMINISTRATOR),
    ...OWNERS.map((owner) => line(owner, owner)),
  ].join("\n")}\n`;
}

function createServerArguments(data: string, port: number): string[] {
  const settings = {
    listen_addresses: HOST,
    port,
    // No unix socket: its path is limited to 107 bytes, and everything here uses TCP.
    unix_socket_directories: "",
    max_connections: 120,
    shared_buffers: "64MB",
    password_encryption: "scram-sha-256",
    fsync: "on",
    synchronous_commit: "on",
    // The first connection after a crash must not wait for a checkpoint of many minutes.
    checkpoint_timeout: "5min",
    timezone: "UTC",
    log_timezone: "UTC",
  };
  return ["-D", data, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])];
}

async function initialise(
  binaries: PostgresBinaries,
  directory: string,
  data: string,
  password: string,
): Promise<void> {
  // Made beside and renamed: an initdb that was cut leaves no half directory that the next start would take for a whole one.
  const fresh = join(directory, "data.new");
  const passwordFile = join(directory, "initdb-password");
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { mode: 0o700 });
  if (binaries.uid !== undefined) {
    chownSync(fresh, binaries.uid, binaries.uid);
  }
  writeOwned(passwordFile, password, binaries.uid);
  try {
    const { command, args } = binaries.command("initdb", [
      `--pgdata=${fresh}`,
      "--encoding=UTF8",
      "--locale=C",
      `--username=${ADMINISTRATOR}`,
      "--auth=scram-sha-256",
      `--pwfile=${passwordFile}`,
      "--no-instructions",
    ]);
    await run(command, args, binaries.uid);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(fresh, data);
}

/**
 * Gives the data to the user who will run the server, when another one made it: the same folder may be started once in a user
 * namespace and once without. Only root can, and only root has two ways to start.
 */
function giveTo(data: string, uid: number): void {
  if (process.getuid?.() !== 0 || statSync(data).uid === uid) {
    return;
  }
  for (const entry of readdirSync(data, { recursive: true, encoding: "utf8" })) {
    chownSync(join(data, entry), uid, uid);
  }
  chownSync(data, uid, uid);
}

function writeOwned(path: string, content: string, uid: number | undefined): void {
  writeFileSync(path, content, { mode: 0o600 });
  if (uid !== undefined) {
    chownSync(path, uid, uid);
  }
}

function run(command: string, args: string[], uid: number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { PATH: process.env.PATH ?? "", LC_ALL: "C", TZ: "UTC" },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 120_000,
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    let output = "";
    child.stderr.on("data", (data: Buffer) => {
      output = (output + data.toString()).slice(-4_000);
    });
    child.once("error", (error) => reject(new Error(`Cannot initialise PostgreSQL: ${error.message}`)));
    child.once("close", (code) =>
      code === 0
        ? resolve()
        : reject(new Error(`Cannot initialise PostgreSQL: initdb exited with code ${code}\n${output.trimEnd()}`)),
    );
  });
}
