import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** A checkpoint as it was signed. */
export interface StoredCheckpoint {
  readonly size: bigint;
  readonly root: Uint8Array;
  /** The signed note. */
  readonly note: Uint8Array;
  readonly signedAt: Date;
}

interface Row {
  readonly tree_size: bigint;
  readonly root_hash: Buffer;
  readonly note: Buffer;
  readonly signed_at: Date;
  readonly [column: string]: unknown;
}

const COLUMNS = "tree_size, root_hash, note, signed_at";

/** Keeps a checkpoint; nobody may see it before this is committed. Inside `writeLog`. */
export async function insertCheckpoint(client: PoolClient, checkpoint: StoredCheckpoint): Promise<void> {
  await query(client, `insert into checkpoint (${COLUMNS}) values ($1, $2, $3, $4)`, [
    checkpoint.size,
    Buffer.from(checkpoint.root),
    Buffer.from(checkpoint.note),
    checkpoint.signedAt,
  ]);
}

/** The checkpoint of the largest size; undefined before the first. */
export async function findLatestCheckpoint(client: Pool | PoolClient): Promise<StoredCheckpoint | undefined> {
  const rows = await query<Row>(client, `select ${COLUMNS} from checkpoint order by tree_size desc limit 1`);
  return rows[0] && toCheckpoint(rows[0]);
}

/** The checkpoint of this size; undefined when none was signed at it. */
export async function findCheckpoint(client: Pool | PoolClient, size: bigint): Promise<StoredCheckpoint | undefined> {
  const rows = await query<Row>(client, `select ${COLUMNS} from checkpoint where tree_size = $1`, [size]);
  return rows[0] && toCheckpoint(rows[0]);
}

/** Checkpoints of more than `after`, by rising size, at most `limit`. */
export async function listCheckpoints(pool: Pool, after: bigint, limit: number): Promise<StoredCheckpoint[]> {
  const rows = await query<Row>(
    pool,
    `select ${COLUMNS} from checkpoint where tree_size > $1 order by tree_size limit $2`,
    [after, limit],
  );
  return rows.map(toCheckpoint);
}

function toCheckpoint(row: Row): StoredCheckpoint {
  return { size: row.tree_size, root: row.root_hash, note: row.note, signedAt: row.signed_at };
}
