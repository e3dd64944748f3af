/** Looks for planted secrets in whatever a mesh leaves behind. */
import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { createPool } from "../../services/shared/database/pool.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";

/** A secret that was planted, in each form in which it could lie somewhere. */
export interface Canary {
  readonly name: string;
  readonly forms: readonly Buffer[];
}

/**
 * A secret as it could have leaked: as it is, percent-encoded, in hexadecimal digits, and in base64 wherever it begins within a group of
 * three bytes. The secret needs at least 16 bytes.
 */
export function createCanary(name: string, secret: string): Canary {
  const bytes = Buffer.from(secret);
  // Of base64 the letters are the same that come from whole groups: none at the ends, which hold parts of the neighbours.
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .slice(shift === 0 ? 0 : 4, -4),
  );
  const hex = bytes.toString("hex");
  const texts = [secret, encodeURIComponent(secret), hex, hex.toUpperCase(), ...base64, ...base64.map(toUrl)];
  return { name, forms: [...new Set(texts)].map((text) => Buffer.from(text)) };
}

function toUrl(base64: string): string {
  return base64.replaceAll("+", "-").replaceAll("/", "_");
}

/** The names of the secrets that are in these bytes. */
export function findIn(bytes: Buffer, canaries: readonly Canary[]): string[] {
  return canaries.filter(({ forms }) => forms.some((form) => bytes.includes(form))).map(({ name }) => name);
}

/** Every file below a folder that holds a secret, as "path: secrets". Files whose path is `allowed` are passed over. */
export function findInFiles(folder: string, canaries: readonly Canary[], allowed: (path: string) => boolean): string[] {
  const found: string[] = [];
  const entries: Dirent[] = readdirSync(folder, { withFileTypes: true, recursive: true });
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || allowed(relative(folder, path))) continue;
    const bytes = readIfThere(path);
    const secrets = bytes === undefined ? [] : findIn(bytes, canaries);
    if (secrets.length > 0) found.push(`${relative(folder, path)}: ${secrets.join(", ")}`);
  }
  return found;
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return statSync(path).size > 0 ? readFileSync(path) : undefined;
  } catch {
    return undefined; // a running mesh removes files
  }
}

/** A table as a thief has it: its name, how many rows it has, and all of their values one after the other. */
export interface DumpedTable {
  readonly name: string;
  readonly rows: number;
  readonly bytes: Buffer;
}

/** Every table of a database that holds a secret, as "table: secrets", and how many rows were read. */
export async function findInDatabase(
  url: string,
  canaries: readonly Canary[],
): Promise<{ readonly found: string[]; readonly rows: number }> {
  const tables = await dumpDatabase(url);
  const found = tables.flatMap(({ name, bytes }) => {
    const secrets = findIn(bytes, canaries);
    return secrets.length > 0 ? [`${name}: ${secrets.join(", ")}`] : [];
  });
  return { found, rows: tables.reduce((sum, { rows }) => sum + rows, 0) };
}

/** Reads all tables of a database. */
export async function dumpDatabase(url: string): Promise<DumpedTable[]> {
  const pool = createPool({ url, max: 1, log: createLog({ service: "test", level: "silent" }) });
  try {
    const { rows: tables } = await pool.query<{ name: string }>(
      "select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
    );
    const dumped: DumpedTable[] = [];
    for (const { name } of tables) {
      const { rows } = await pool.query<Record<string, unknown>>(`select * from ${name}`);
      const values = rows.flatMap((row) => Object.values(row)).map(toBytes);
      dumped.push({ name, rows: rows.length, bytes: Buffer.concat(values.flatMap((value) => [value, Buffer.of(0)])) });
    }
    return dumped;
  } finally {
    await pool.end();
  }
}

function toBytes(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === "object" && value !== null)
    return Buffer.from(JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part)));
  return Buffer.from(String(value));
}
