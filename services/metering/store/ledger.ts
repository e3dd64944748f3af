import { int2Array, int8Array, textArray, uuidArray } from "../../shared/database/arrays.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import type { Posting } from "../ledger/posting.ts";
import { DAY_MS, findDays, lowestId, readTimeMs } from "./partitions.ts";

/** An entry as it stands in the ledger. */
export interface StoredEntry {
  readonly postingId: string;
  /** Number within the posting, from 1. */
  readonly number: number;
  readonly eventId: string;
  readonly organisation: string;
  readonly account: string;
  readonly amountNanos: bigint;
  readonly postedAt: Date;
}

/** Where an entry stands in the ledger: entries are in the order of their postings' ids, which begin with the time, and within one of their numbers. */
export type EntryPlace = Pick<StoredEntry, "postingId" | "number">;

/** Which entries, and where to go on. */
export interface EntryQuery {
  readonly organisation: string;
  /** Only those of this call. */
  readonly eventId?: string;
  /** Only those that stand before this place. */
  readonly before?: EntryPlace;
  readonly limit: number;
}

/** Writes the entries of postings, all sides of each. The database refuses a posting that does not add up to zero. */
export async function insertEntries(client: PoolClient, postings: readonly Posting[]): Promise<void> {
  const rows = postings.flatMap((posting) =>
    posting.entries.map((entry, index) => ({ posting, entry, number: index + 1 })),
  );
  if (rows.length === 0) return;
  await query(
    client,
    `insert into ledger_entry (posting_id, number, event_id, organisation, account, amount_nanos)
     select * from unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[])`,
    [
      uuidArray(rows, ({ posting }) => posting.postingId),
      int2Array(rows, ({ number }) => number),
      uuidArray(rows, ({ posting }) => posting.eventId),
      textArray(rows, ({ posting }) => posting.organisation),
      textArray(rows, ({ entry }) => entry.account),
      int8Array(rows, ({ entry }) => entry.amountNanos),
    ],
  );
}

/** How many days are looked into at a time: each is some four locks, and less than a twentieth of a millisecond. */
const WINDOW_DAYS = 32;
const LOWEST_ID = "00000000-0000-0000-0000-000000000000";
/** Behind every entry. */
const END: EntryPlace = { postingId: "ffffffff-ffff-ffff-ffff-ffffffffffff", number: 0 };

/**
 * Lists entries, those of the newest calls first. Reads the days backwards, a window of them at a time, until there are enough: asked for all at once,
 * PostgreSQL would lock and plan for the partition of every day that ever was. What is posted meanwhile is in the list or not; nothing is in it twice.
 */
export async function listEntries(
  pool: Pool,
  { organisation, eventId, before = END, limit }: EntryQuery,
): Promise<StoredEntry[]> {
  // No posting is older than its call.
  const floor = eventId?.toLowerCase() ?? LOWEST_ID;
  const days = await findDays(pool, "ledger_entry");
  const entries: StoredEntry[] = [];
  for (let below = before; ; ) {
    const from = findWindow(below, days);
    const isLast = from <= floor;
    const window = { from: isLast ? floor : from, below, limit: limit - entries.length };
    entries.push(...(await listWindow(pool, organisation, eventId, window)));
    if (isLast || entries.length >= limit) return entries;
    below = { postingId: from, number: 0 };
  }
}

/** The id from which on entries below a place are looked for next; the lowest one when no partition is older. */
function findWindow({ postingId }: EntryPlace, days: Awaited<ReturnType<typeof findDays>>): string {
  if (days === undefined) return LOWEST_ID;
  const endMs = Math.min(readTimeMs(postingId), days.lastMs + DAY_MS);
  const fromMs = Math.floor(endMs / DAY_MS - WINDOW_DAYS) * DAY_MS;
  return fromMs <= days.firstMs ? LOWEST_ID : lowestId(fromMs);
}

/** The part of a list that stands from an id on and below a place. Both are bounds of the partition key, so that the planner leaves the other partitions alone. */
async function listWindow(
  pool: Pool,
  organisation: string,
  eventId: string | undefined,
  { from, below, limit }: { readonly from: string; readonly below: EntryPlace; readonly limit: number },
): Promise<StoredEntry[]> {
  return await query<StoredEntry & Record<string, unknown>>(
    pool,
    `select posting_id as "postingId", number, event_id as "eventId", organisation, account, amount_nanos as "amountNanos",
            posted_at as "postedAt"
       from ledger_entry
      where organisation = $1 and ($2::uuid is null or event_id = $2)
        and posting_id >= $3 and posting_id <= $4 and (posting_id, number) < ($4, $5::smallint)
      order by posting_id desc, number desc limit $6`,
    [organisation, eventId ?? null, from, below.postingId, below.number, limit],
  );
}
