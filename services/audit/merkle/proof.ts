/**
 * Which stored hashes make a proof, and the proof made of them. Planning is apart from assembling, so that the store can
 * read all hashes of a proof in one query and this room touches nothing.
 */
import { coverRange, joinCover, type Subtree, splitPoint } from "./tree.ts";

/** One entry for each hash of the proof: the complete subtrees that join to it. Only the last right edge has several. */
export type ProofPlan = readonly (readonly Subtree[])[];

/**
 * Plans the proof that the leaf at `index` is in the tree of `size` leaves (RFC 9162, section 2.1.3.1), leaf's sibling first.
 * Throws RangeError unless 0 ≤ index < size: callers check what came from outside.
 */
export function planInclusion(index: bigint, size: bigint): ProofPlan {
  if (index < 0n || index >= size) throw new RangeError(`Cannot plan proof: index ${index} is not below size ${size}`);
  const fromRoot: Subtree[][] = [];
  let start = 0n;
  let end = size;
  while (end - start > 1n) {
    const middle = start + splitPoint(end - start);
    if (index < middle) {
      fromRoot.push(coverRange(middle, end));
      end = middle;
    } else {
      fromRoot.push(coverRange(start, middle));
      start = middle;
    }
  }
  return fromRoot.reverse();
}

/**
 * Plans the proof that the tree of `first` leaves is the beginning of the one of `second` (RFC 9162, section 2.1.4.1). Empty
 * when both are equal or `first` is 0. Throws RangeError unless 0 ≤ first ≤ second.
 */
export function planConsistency(first: bigint, second: bigint): ProofPlan {
  if (first < 0n || first > second) throw new RangeError(`Cannot plan proof: size ${first} is not within ${second}`);
  if (first === 0n || first === second) return [];
  const fromRoot: Subtree[][] = [];
  let start = 0n;
  let end = second;
  while (first !== end) {
    const middle = start + splitPoint(end - start);
    if (first <= middle) {
      fromRoot.push(coverRange(middle, end));
      end = middle;
    } else {
      fromRoot.push(coverRange(start, middle));
      start = middle;
    }
  }
  // A first tree that is a complete subtree from leaf 0 is its own root, which the verifier has.
  if (start !== 0n) fromRoot.push(coverRange(start, end));
  return fromRoot.reverse();
}

/** Makes the proof from its plan; `getHash` returns the stored hash of a complete subtree and throws when it is missing. */
export function assembleProof(plan: ProofPlan, getHash: (subtree: Subtree) => Uint8Array): Uint8Array[] {
  return plan.map((cover) => joinCover(cover.map(getHash)));
}
