/**
 * Digests of what is distributed, as specified at weir.policy.v1.SnapshotService. A keyring's digest is built of 1,024
 * buckets, so that a change among 100,000 keys costs the hashing of one bucket and of 32 KiB of digests.
 */
import { createHash, hash } from "node:crypto";
import { runAtOnce, type Steps } from "./slices.ts";

/** Buckets of a keyring: ten bits of a hash. */
export const BUCKET_COUNT = 1024;

/** An entry as it is digested; a `KeyringEntry` message is one. */
export interface DigestedEntry {
  /** The key id, or "tenant:" and the tenant's path. */
  readonly id: string;
  /** The encoded KeyringGrant, as policy made it. */
  readonly grant: Uint8Array;
}

/** SHA-256 over a snapshot's encoding, as the bytes came. 32 bytes. */
export function snapshotDigest(bytes: Uint8Array): Uint8Array {
  return sha256(bytes);
}

/** The bucket of an entry, from 0 to 1,023: the first ten bits of SHA-256 of its id. */
export function bucketOf(id: string): number {
  // A character for each byte: a Buffer for each of 100,000 ids took three times as long.
  const digest = hash("sha256", id, "binary");
  return (digest.charCodeAt(0) << 2) | (digest.charCodeAt(1) >>> 6);
}

/** The digest of one bucket; its entries in any order, each id once. An empty one gives the SHA-256 of nothing. */
export function bucketDigest(entries: Iterable<DigestedEntry>): Uint8Array {
  const sorted = Array.from(entries, ({ id, grant }) => ({ id: Buffer.from(id), grant })).sort((a, b) =>
    Buffer.compare(a.id, b.id),
  );
  // One piece to hash: four small ones for each entry took twice as long.
  const bytes = Buffer.allocUnsafe(sorted.reduce((sum, { id, grant }) => sum + 8 + id.length + grant.length, 0));
  let at = 0;
  for (const { id, grant } of sorted) {
    at = bytes.writeUInt32BE(id.length, at);
    bytes.set(id, at);
    at = bytes.writeUInt32BE(grant.length, at + id.length);
    bytes.set(grant, at);
    at += grant.length;
  }
  return new Uint8Array(hash("sha256", bytes, "buffer"));
}

/** The digest of a keyring from those of its buckets, in their order. Throws when there are not 1,024. */
export function keyringDigest(bucketDigests: readonly Uint8Array[]): Uint8Array {
  if (bucketDigests.length !== BUCKET_COUNT) {
    throw new RangeError(`Cannot digest keyring: it has ${bucketDigests.length} buckets, needs ${BUCKET_COUNT}`);
  }
  return sha256(Buffer.concat(bucketDigests));
}

interface Bucket {
  readonly grants: ReadonlyMap<string, Uint8Array>;
  readonly digest: Uint8Array;
}

/** So many entries are put in their buckets in a step. */
const STEP = 256;

const EMPTY_BUCKET: Bucket = { grants: new Map(), digest: bucketDigest([]) };

/**
 * A keyring's entries with their digest. It never changes: `apply` returns another one that shares every bucket the change
 * did not touch, so a chat that pinned the old one keeps it.
 */
export class KeyringTree {
  readonly #buckets: readonly Bucket[];
  #digest: Uint8Array | undefined;
  /** How many entries there are. */
  readonly size: number;

  private constructor(buckets: readonly Bucket[]) {
    this.#buckets = buckets;
    this.size = buckets.reduce((sum, { grants }) => sum + grants.size, 0);
  }

  /** The keyring without entries: where a full load starts. */
  static readonly EMPTY: KeyringTree = new KeyringTree(Array.from({ length: BUCKET_COUNT }, () => EMPTY_BUCKET));

  /**
   * The keyring after a change: first the removed ids go (one that is not there is no error), then the changed entries are
   * put in; of an id that stands there twice the last counts.
   */
  apply(changed: Iterable<DigestedEntry>, removedIds: Iterable<string> = []): KeyringTree {
    return runAtOnce(this.applySteps(changed, removedIds));
  }

  /** As {@link apply}, in steps: of a whole keyring with 100,000 keys it takes a quarter of a second. */
  *applySteps(changed: Iterable<DigestedEntry>, removedIds: Iterable<string> = []): Steps<KeyringTree> {
    const touched = new Map<number, Map<string, Uint8Array>>();
    const open = (id: string): Map<string, Uint8Array> => {
      const index = bucketOf(id);
      let grants = touched.get(index);
      if (grants === undefined) {
        grants = new Map(this.#buckets[index]?.grants);
        touched.set(index, grants);
      }
      return grants;
    };
    let count = 0;
    for (const id of removedIds) {
      open(id).delete(id);
      if (++count % STEP === 0) yield;
    }
    for (const { id, grant } of changed) {
      open(id).set(id, grant);
      if (++count % STEP === 0) yield;
    }
    const buckets = [...this.#buckets];
    for (const [index, grants] of touched) {
      buckets[index] = { grants, digest: bucketDigest(toEntries(grants)) };
      yield;
    }
    return new KeyringTree(buckets);
  }

  /** SHA-256 over the buckets' digests. 32 bytes; computed once. */
  digest(): Uint8Array {
    this.#digest ??= keyringDigest(this.#buckets.map((bucket) => bucket.digest));
    return this.#digest;
  }

  /** The encoded grant of an id. */
  find(id: string): Uint8Array | undefined {
    return this.#buckets[bucketOf(id)]?.grants.get(id);
  }

  /**
   * The entries of each bucket. A bucket that a change did not touch is the same object in both keyrings, so what was found out
   * about it can be remembered by it.
   */
  *buckets(): IterableIterator<ReadonlyMap<string, Uint8Array>> {
    for (const { grants } of this.#buckets) yield grants;
  }

  /** Every entry, bucket by bucket. */
  *entries(): IterableIterator<DigestedEntry> {
    for (const { grants } of this.#buckets) yield* toEntries(grants);
  }
}

function* toEntries(grants: ReadonlyMap<string, Uint8Array>): IterableIterator<DigestedEntry> {
  for (const [id, grant] of grants) yield { id, grant };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
