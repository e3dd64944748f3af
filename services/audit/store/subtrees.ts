import { byteaArray, int2Array, int8Array } from "../../shared/database/arrays.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { HashedSubtree } from "../merkle/append.ts";
import type { Subtree } from "../merkle/tree.ts";

interface Row {
  readonly level: number;
  readonly position: bigint;
  readonly hash: Buffer;
  readonly [column: string]: unknown;
}

/** Returns the stored hash of a complete subtree that was asked for. */
export type HashOf = (subtree: Subtree) => Uint8Array;

/** Stores subtrees that have become complete. Inside `writeLog`. A stored one is never replaced: that would be another tree. */
export async function insertSubtrees(client: PoolClient, subtrees: readonly HashedSubtree[]): Promise<void> {
  await query(
    client,
    `insert into subtree (level, position, hash)
     select level, position, hash from unnest($1::smallint[], $2::bigint[], $3::bytea[]) as new (level, position, hash)`,
    [
      int2Array(subtrees, ({ level }) => level),
      int8Array(subtrees, ({ index }) => index),
      byteaArray(subtrees, ({ hash }) => hash),
    ],
  );
}

/** Reads the hashes of these subtrees in one query. Throws PROOF_REFUSED when one is missing: the stored tree is damaged. */
export async function readSubtrees(client: Pool | PoolClient, wanted: readonly Subtree[]): Promise<HashOf> {
  const rows = await query<Row>(
    client,
    `select s.level, s.position, s.hash from unnest($1::smallint[], $2::bigint[]) as wanted (level, position)
       join subtree s using (level, position)`,
    [int2Array(wanted, ({ level }) => level), int8Array(wanted, ({ index }) => index)],
  );
  const hashes = new Map(rows.map((row) => [`${row.level}/${row.position}`, row.hash]));
  return ({ level, index }) => {
    const hash = hashes.get(`${level}/${index}`);
    if (hash) return hash;
    throw new WeirError("PROOF_REFUSED", `Cannot read log: the subtree ${index} of level ${level} is missing`, {
      facts: { level: String(level), index: String(index) },
    });
  };
}
