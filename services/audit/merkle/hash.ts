import { createHash } from "node:crypto";

/** Bytes of every hash in the tree (SHA-256). */
export const HASH_BYTES = 32;
/** Root of the tree without leaves: SHA-256 of nothing (RFC 9162, section 2.1.1). */
export const EMPTY_ROOT: Uint8Array = createHash("sha256").digest();

const LEAF_PREFIX = Buffer.of(0x00);
const NODE_PREFIX = Buffer.of(0x01);

/** Hash of a leaf over the record's bytes exactly as its producer encoded them (RFC 9162, section 2.1.1). */
export function hashLeaf(record: Uint8Array): Uint8Array {
  return createHash("sha256").update(LEAF_PREFIX).update(record).digest();
}

/** Hash of an inner node over its two children; the prefix keeps a node from passing as a leaf. */
export function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  return createHash("sha256").update(NODE_PREFIX).update(left).update(right).digest();
}

/** Whether two hashes are the same. Roots and leaf hashes are public, so this need not take constant time. */
export function isSameHash(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
