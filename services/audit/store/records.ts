import { byteaArray, textArray, uuidArray } from "../../shared/database/arrays.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** As the table's check has it, so that hashes can be told apart by their length. */
const HASH_BYTES = 32;

/** A record before it has a place. */
export interface NewRecord {
  readonly recordId: string;
  readonly organisation: string;
  /** As its producer encoded it. */
  readonly record: Uint8Array;
  readonly leafHash: Uint8Array;
}

/** A record in its place. */
export interface StoredRecord extends NewRecord {
  readonly index: bigint;
  readonly sequencedAt: Date;
}

/** Which records a page is made of. */
export interface RecordRange {
  /** Only those of this organisation; empty for all. */
  readonly organisation: string;
  /** First index wanted. */
  readonly first: bigint;
  /** Index to stop before. */
  readonly end: bigint;
  /** Most records, from 1. */
  readonly limit: number;
  /** Most bytes of records; the first one comes in any case. */
  readonly limitBytes: number;
}

interface Row {
  readonly log_index: bigint;
  readonly record_id: string;
  readonly organisation: string;
  readonly record: Buffer;
  readonly leaf_hash: Buffer;
  readonly sequenced_at: Date;
  readonly [column: string]: unknown;
}

const COLUMNS = "log_index, record_id, organisation, record, leaf_hash, sequenced_at";

/** Writes records into the places from `first` on. Inside `writeLog`, which makes the places free. */
export async function insertRecords(client: PoolClient, first: bigint, records: readonly NewRecord[]): Promise<void> {
  if (records.length === 0) return;
  const ids = uuidArray(records, ({ recordId }) => recordId);
  const places = query(
    client,
    `insert into record_place (record_id, log_index)
     select id, $1::bigint + place - 1 from unnest($2::uuid[]) with ordinality as new (id, place)`,
    [first, ids],
  );
  const rows = query(
    client,
    `insert into record (log_index, record_id, organisation, record, leaf_hash)
     select $1::bigint + place - 1, id, organisation, record, leaf_hash
       from unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[])
            with ordinality as new (id, organisation, record, leaf_hash, place)`,
    [
      first,
      ids,
      textArray(records, ({ organisation }) => organisation),
      byteaArray(records, ({ record }) => record),
      byteaArray(records, ({ leafHash }) => leafHash),
    ],
  );
  await Promise.all([places, rows]);
}

/**
 * Those of these ids that are in the log already, with their leaf hashes; null when the record's range was detached and only its
 * place is left.
 */
export async function findPlaced(client: PoolClient, ids: readonly string[]): Promise<Map<string, Uint8Array | null>> {
  const rows = await query<Row>(
    client,
    `select p.record_id, r.leaf_hash from record_place p left join record r using (log_index) where p.record_id = any($1::uuid[])`,
    [uuidArray(ids, (id) => id)],
  );
  return new Map(rows.map((row) => [row.record_id, row.leaf_hash]));
}

/**
 * The leaf hashes from `first` up to, not including, `end`, by rising index, and the first index that has no record; undefined when
 * all are there. Up to a missing one they are the right ones.
 */
export async function readLeafHashes(
  client: PoolClient,
  first: bigint,
  end: bigint,
): Promise<{ leafHashes: readonly Uint8Array[]; missing: bigint | undefined }> {
  // All in one value: a row for each is dear to send and to take apart.
  const rows = await query<{ hashes: Buffer | null; count: bigint; missing: bigint | null }>(
    client,
    `select string_agg(leaf_hash, ''::bytea order by log_index) as hashes, count(*) as count,
            min(place) filter (where log_index <> place) as missing
       from (select log_index, leaf_hash, $1::bigint - 1 + row_number() over (order by log_index) as place
               from record where log_index >= $1 and log_index < $2) numbered`,
    [first, end],
  );
  const { hashes, count = 0n, missing } = rows[0] ?? {};
  const leafHashes = Array.from({ length: Number(count) }, (_, place) =>
    hashes!.subarray(place * HASH_BYTES, (place + 1) * HASH_BYTES),
  );
  return { leafHashes, missing: missing ?? (first + count < end ? first + count : undefined) };
}

/** The highest index that has a record; undefined when there is none. */
export async function findLastIndex(client: PoolClient): Promise<bigint | undefined> {
  const rows = await query<Row>(client, "select log_index from record order by log_index desc limit 1");
  return rows[0]?.log_index;
}

/** A page of records by rising index, cut where it gets too large. */
export async function listRecords(pool: Pool, range: RecordRange): Promise<StoredRecord[]> {
  const rows = await query<Row>(
    pool,
    `select ${COLUMNS} from (
       select page.*, sum(octet_length(record)) over (order by log_index) as bytes, row_number() over (order by log_index) as place
         from (select ${COLUMNS} from record
                where log_index >= $1 and log_index < $2 and ($3 = '' or organisation = $3)
                order by log_index limit $4) page
     ) counted where bytes <= $5 or place = 1 order by log_index`,
    [range.first, range.end, range.organisation, range.limit, range.limitBytes],
  );
  return rows.map(toStoredRecord);
}

/** The record of this id; undefined when the log has none. */
export async function findRecord(pool: Pool, recordId: string): Promise<StoredRecord | undefined> {
  const rows = await query<Row>(
    pool,
    `select ${COLUMNS} from record where log_index = (select log_index from record_place where record_id = $1)`,
    [recordId],
  );
  return rows[0] && toStoredRecord(rows[0]);
}

function toStoredRecord(row: Row): StoredRecord {
  return {
    index: row.log_index,
    recordId: row.record_id,
    organisation: row.organisation,
    record: row.record,
    leafHash: row.leaf_hash,
    sequencedAt: row.sequenced_at,
  };
}
