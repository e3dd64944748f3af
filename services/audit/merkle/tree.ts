/**
 * Names for the parts of a tree. A *complete subtree* has 2^level leaves, all present: its hash never changes again, so it is
 * stored once. Every root and every proof of any size is made of such hashes.
 */
import { EMPTY_ROOT, hashNode } from "./hash.ts";

/** Largest number of leaves that sizes and indexes are taken for; far beyond any log, within int64. */
export const MAX_TREE_SIZE = 2n ** 60n;

/** A complete subtree: the leaves from `index × 2^level` up to, not including, `(index + 1) × 2^level`. Level 0 is a leaf. */
export interface Subtree {
  readonly level: number;
  readonly index: bigint;
}

/**
 * The complete subtrees that cover the leaves from `start` up to, not including, `end`, from left to right. `start` must be
 * where a subtree of the tree begins, as it always is for the ranges of RFC 9162's definitions.
 */
export function coverRange(start: bigint, end: bigint): Subtree[] {
  const cover: Subtree[] = [];
  let position = start;
  while (position < end) {
    let level = 0;
    while (position % (1n << BigInt(level + 1)) === 0n && position + (1n << BigInt(level + 1)) <= end) level++;
    cover.push({ level, index: position >> BigInt(level) });
    position += 1n << BigInt(level);
  }
  return cover;
}

/** Joins the hashes of a cover into the hash of the whole range; of none into the empty root. */
export function joinCover(hashes: readonly Uint8Array[]): Uint8Array {
  let joined: Uint8Array | undefined;
  // The tree splits at the largest power of two, so the small subtrees at the right join first.
  for (const hash of hashes.toReversed()) joined = joined ? hashNode(hash, joined) : hash;
  return joined ?? EMPTY_ROOT;
}

/** The largest power of two below `size`, where a tree of `size` ≥ 2 leaves splits (RFC 9162, section 2.1.1). */
export function splitPoint(size: bigint): bigint {
  return 1n << BigInt((size - 1n).toString(2).length - 1);
}
