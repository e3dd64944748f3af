/** The verifying algorithms of RFC 9162, word for word, and apart from the making of proofs: they share no code but the hashes. */
import { EMPTY_ROOT, HASH_BYTES, hashNode, isSameHash } from "./hash.ts";
import { MAX_TREE_SIZE } from "./tree.ts";

/** What is claimed by an inclusion proof; all of it may come from outside. */
export interface InclusionClaim {
  readonly leafHash: Uint8Array;
  readonly index: bigint;
  readonly size: bigint;
  readonly root: Uint8Array;
  /** From the leaf's sibling up to the root's child. */
  readonly proof: readonly Uint8Array[];
}

/** What is claimed by a consistency proof; all of it may come from outside. */
export interface ConsistencyClaim {
  readonly first: bigint;
  readonly firstRoot: Uint8Array;
  readonly second: bigint;
  readonly secondRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** Whether the leaf stands at this index in the tree of this size and root (RFC 9162, section 2.1.3.2). Never throws. */
export function isIncluded(claim: InclusionClaim): boolean {
  const { leafHash, index, size, root, proof } = claim;
  if (index < 0n || index >= size || size > MAX_TREE_SIZE) return false;
  if (![leafHash, root, ...proof].every(isHash)) return false;
  let fn = index;
  let sn = size - 1n;
  let hash = leafHash;
  for (const sibling of proof) {
    if (sn === 0n) return false;
    if (isOdd(fn) || fn === sn) {
      hash = hashNode(sibling, hash);
      while (!isOdd(fn) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      hash = hashNode(hash, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && isSameHash(hash, root);
}

/**
 * Whether the first tree is the beginning of the second (RFC 9162, section 2.1.4.2). The empty tree, which the RFC leaves out,
 * is the beginning of every tree, by its known root and an empty proof. Never throws.
 */
export function isConsistent(claim: ConsistencyClaim): boolean {
  const { first, firstRoot, second, secondRoot, proof } = claim;
  if (first < 0n || first > second || second > MAX_TREE_SIZE) return false;
  if (![firstRoot, secondRoot, ...proof].every(isHash)) return false;
  if (first === second)
    return proof.length === 0 && isSameHash(firstRoot, secondRoot) && isKnownEmpty(first, firstRoot);
  if (first === 0n) return proof.length === 0 && isKnownEmpty(first, firstRoot);
  const path = isPowerOfTwo(first) ? [firstRoot, ...proof] : proof;
  const [start, ...rest] = path;
  if (!start || proof.length === 0) return false;
  let fn = first - 1n;
  let sn = second - 1n;
  while (isOdd(fn)) {
    fn >>= 1n;
    sn >>= 1n;
  }
  let fr = start;
  let sr = start;
  for (const sibling of rest) {
    if (sn === 0n) return false;
    if (isOdd(fn) || fn === sn) {
      fr = hashNode(sibling, fr);
      sr = hashNode(sibling, sr);
      while (!isOdd(fn) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      sr = hashNode(sr, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && isSameHash(fr, firstRoot) && isSameHash(sr, secondRoot);
}

function isKnownEmpty(size: bigint, root: Uint8Array): boolean {
  return size !== 0n || isSameHash(root, EMPTY_ROOT);
}

function isHash(hash: Uint8Array): boolean {
  return hash.length === HASH_BYTES;
}

function isOdd(value: bigint): boolean {
  return (value & 1n) === 1n;
}

function isPowerOfTwo(value: bigint): boolean {
  return (value & (value - 1n)) === 0n;
}
