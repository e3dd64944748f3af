import { isUniqueViolation } from "../../shared/database/database-error.ts";
import { type Pool, query } from "../../shared/database/pool.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";

/** How long a partition is. */
export const DAY_MS = 86_400_000;
/** Days made ahead: an upkeep that fails for this long costs nothing but a fuller default partition. */
export const DAYS_AHEAD = 7;
const TABLES = ["usage", "ledger_entry"] as const;

/**
 * Makes the day partitions up to {@link DAYS_AHEAD} days ahead, where missing: from yesterday, or from the newest that there is when that was
 * longer ago, since what waited in the spools meanwhile is of the days between. Rows of other days go into the default partition; a day that
 * has rows there already stays there.
 */
export async function ensurePartitions(pool: Pool, nowMs: number): Promise<void> {
  const today = Math.floor(nowMs / DAY_MS) * DAY_MS;
  for (const table of TABLES) {
    const days = await findDays(pool, table);
    const first = days === undefined ? today - DAY_MS : Math.min(today - DAY_MS, days.lastMs + DAY_MS);
    for (let day = first; day <= today + DAYS_AHEAD * DAY_MS; day += DAY_MS) await ensurePartition(pool, table, day);
  }
}

/** The first and the last day that have a partition, in milliseconds since 1970; undefined when none has. */
export async function findDays(
  pool: Pool,
  table: (typeof TABLES)[number],
): Promise<{ readonly firstMs: number; readonly lastMs: number } | undefined> {
  const rows = await query<{ first: string | null; last: string | null }>(
    pool,
    `select min(day) as first, max(day) as last
       from pg_inherits, to_date(substring(inhrelid::regclass::text from '_([0-9]{8})$'), 'YYYYMMDD') as day
      where inhparent = $1::regclass`,
    [table],
  );
  const { first, last } = rows[0] ?? {};
  return first == null || last == null ? undefined : { firstMs: Date.parse(first), lastMs: Date.parse(last) };
}

async function ensurePartition(pool: Pool, table: (typeof TABLES)[number], dayMs: number): Promise<void> {
  const name = `${table}_${new Date(dayMs).toISOString().slice(0, 10).replaceAll("-", "")}`;
  const [from, to] = [lowestId(dayMs), lowestId(dayMs + DAY_MS)];
  const column = table === "usage" ? "event_id" : "posting_id";
  const rows = await query<{ there: boolean; used: boolean }>(
    pool,
    `select to_regclass($1) is not null as there,
            exists (select 1 from ${table}_default where ${column} >= $2::uuid and ${column} < $3::uuid) as used`,
    [name, from, to],
  );
  if (rows[0]?.there !== false || rows[0].used) return;
  try {
    // A name and ids that we made: nothing from outside gets into the text.
    await query(
      pool,
      `create table if not exists ${name} partition of ${table} for values from ('${from}') to ('${to}')`,
    );
  } catch (error) {
    // A row of that day came into the default partition since we looked, or another process made the same table just now.
    if (!isDefaultInUse(error) && !isUniqueViolation(error)) throw error;
  }
}

function isDefaultInUse(error: unknown): boolean {
  return error instanceof WeirError && error.facts.sqlstate === "23514";
}

/** The lowest UUID that begins with this time, see RFC 9562 section 5.7. */
export function lowestId(timeMs: number): string {
  const hex = timeMs.toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** The time that a UUIDv7 begins with, the reverse of {@link lowestId}. */
export function readTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
