import { hashNode } from "./hash.ts";
import { joinCover, type Subtree } from "./tree.ts";

/** The right edge of a tree: its size and the hashes of the complete subtrees that cover it, from left to right. */
export interface Edge {
  readonly size: bigint;
  readonly hashes: readonly Uint8Array[];
}

/** A complete subtree with its hash, as it is stored. */
export interface HashedSubtree extends Subtree {
  readonly hash: Uint8Array;
}

/** The edge of the tree without leaves. */
export const EMPTY_EDGE: Edge = { size: 0n, hashes: [] };

/**
 * Appends leaves and returns the new edge, with every subtree that became complete (the leaves themselves are those of level 0),
 * in the order in which they did. Two hashes a leaf in the long run, however large the tree.
 */
export function appendLeaves(
  edge: Edge,
  leafHashes: readonly Uint8Array[],
): { edge: Edge; completed: HashedSubtree[] } {
  const hashes = [...edge.hashes];
  const completed: HashedSubtree[] = [];
  let size = edge.size;
  for (const leafHash of leafHashes) {
    let hash = leafHash;
    let index = size;
    let level = 0;
    completed.push({ level, index, hash });
    // Each set low bit of the index is a complete left sibling that waits at the end of the edge.
    for (; (index & 1n) === 1n; index >>= 1n) {
      const left = hashes.pop();
      if (!left) throw new RangeError(`Cannot append leaf: the edge of size ${edge.size} lacks a hash`);
      hash = hashNode(left, hash);
      level++;
      completed.push({ level, index: index >> 1n, hash });
    }
    hashes.push(hash);
    size += 1n;
  }
  return { edge: { size, hashes }, completed };
}

/** The root of the tree with this edge. */
export function computeRoot(edge: Edge): Uint8Array {
  return joinCover(edge.hashes);
}
