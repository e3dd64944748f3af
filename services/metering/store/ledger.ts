import { int2Array, int8Array, textArray, uuidArray } from "../../shared/database/arrays.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import type { Posting } from "../ledger/posting.ts";

/** An entry as it stands in the ledger. */
export interface StoredEntry {
  readonly postingId: string;
  /** Number within the posting, from 1. */
  readonly number: number;
  /** Order of posting within the whole ledger. */
  readonly position: bigint;
  readonly eventId: string;
  readonly organisation: string;
  readonly account: string;
  readonly amountNanos: bigint;
  readonly postedAt: Date;
}

/** Which entries, and where to go on. */
export interface EntryQuery {
  readonly organisation: string;
  /** Only those of this call. */
  readonly eventId?: string;
  /** Only those posted before this position. */
  readonly before?: bigint;
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

/** Lists entries, newest first. */
export async function listEntries(
  pool: Pool,
  { organisation, eventId, before, limit }: EntryQuery,
): Promise<StoredEntry[]> {
  return await query<StoredEntry & Record<string, unknown>>(
    pool,
    `select posting_id as "postingId", number, position, event_id as "eventId", organisation, account,
            amount_nanos as "amountNanos", posted_at as "postedAt"
       from ledger_entry
      where organisation = $1 and ($2::uuid is null or event_id = $2) and ($3::bigint is null or position < $3)
      order by position desc limit $4`,
    [organisation, eventId ?? null, before ?? null, limit],
  );
}
