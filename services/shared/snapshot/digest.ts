/**
 * Digests of what is distributed, as specified at weir.policy.v1.SnapshotService. A keyring's digest is built of 1,024
 * buckets, so that a change among 100,000 keys costs the hashing of one bucket and of 32 KiB of digests.
 */
import { createHash, hash } from "node:crypto";
import { Bucket, type DigestedEntry } from "./bucket.ts";
import { runAtOnce, type Steps } from "./slices.ts";

/** Buckets of a keyring: ten bits of a hash. */
export const BUCKET_COUNT = 1024;

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

/** The digest of a keyring from those of its buckets, in their order. Throws when there are not 1,024. */
export function keyringDigest(bucketDigests: readonly Uint8Array[]): Uint8Array {
  if (bucketDigests.length !== BUCKET_COUNT) {
    throw new RangeError(`Cannot digest keyring: it has ${bucketDigests.length} buckets, needs ${BUCKET_COUNT}`);
  }
  return sha256(Buffer.concat(bucketDigests));
}

/** So many entries are put in their buckets in a step. */
const STEP = 256;

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
    this.size = buckets.reduce((sum, { size }) => sum + size, 0);
  }

  /** The keyring without entries: where a full load starts. */
  static readonly EMPTY: KeyringTree = new KeyringTree(Array.from({ length: BUCKET_COUNT }, () => Bucket.EMPTY));

  /**
   * The keyring after a change: first the removed ids go (one that is not there is no error), then the changed entries are
   * put in; of an id that stands there twice the last counts.
   */
  apply(changed: Iterable<DigestedEntry>, removedIds: Iterable<string> = []): KeyringTree {
    return runAtOnce(this.applySteps(changed, removedIds));
  }

  /** As {@link apply}, in steps: of a whole keyring with 100,000 keys it takes a quarter of a second. */
  *applySteps(changed: Iterable<DigestedEntry>, removedIds: Iterable<string> = []): Steps<KeyringTree> {
    const touched = new Map<number, Map<string, Uint8Array | undefined>>();
    const change = (id: string, grant: Uint8Array | undefined): void => {
      const index = bucketOf(id);
      const changes = touched.get(index);
      if (changes === undefined) touched.set(index, new Map([[id, grant]]));
      else changes.set(id, grant);
    };
    let count = 0;
    for (const id of removedIds) {
      change(id, undefined);
      if (++count % STEP === 0) yield;
    }
    for (const { id, grant } of changed) {
      change(id, grant);
      if (++count % STEP === 0) yield;
    }
    const buckets = [...this.#buckets];
    for (const [index, changes] of touched) {
      buckets[index] = this.getBucket(index).change(changes);
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
    return this.getBucket(bucketOf(id)).find(id);
  }

  /**
   * A bucket, from 0 to 1,023. One that a change did not touch is the same object in both keyrings, so what was found out about it can be
   * remembered by it.
   */
  getBucket(index: number): Bucket {
    return this.#buckets[index] as Bucket;
  }

  /** Every bucket, in their order. */
  buckets(): IterableIterator<Bucket> {
    return this.#buckets.values();
  }

  /** Every entry, bucket by bucket. */
  *entries(): IterableIterator<DigestedEntry> {
    for (const bucket of this.#buckets) yield* bucket;
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
