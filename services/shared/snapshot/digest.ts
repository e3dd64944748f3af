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

/** Of a bucket's digest. */
const DIGEST_BYTES = 32;
/** So many entries are put in their buckets in a step. */
const STEP = 256;

/**
 * A keyring's entries with their digest. It never changes: `apply` returns another one that shares every bucket the change
 * did not touch, so a chat that pinned the old one keeps it.
 */
export class KeyringTree {
  readonly #buckets: readonly Bucket[];
  /** Those of the buckets, one behind the other. */
  readonly #digests: Uint8Array;
  #digest: Uint8Array | undefined;
  /** How many entries there are. */
  readonly size: number;

  private constructor(buckets: readonly Bucket[], digests: Uint8Array, size: number) {
    this.#buckets = buckets;
    this.#digests = digests;
    this.size = size;
  }

  /** The keyring without entries: where a full load starts. */
  static readonly EMPTY: KeyringTree = new KeyringTree(
    new Array<Bucket>(BUCKET_COUNT).fill(Bucket.EMPTY),
    new Uint8Array(Buffer.alloc(BUCKET_COUNT * DIGEST_BYTES, Bucket.EMPTY.digest())),
    0,
  );

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
    const digests = this.#digests.slice();
    let { size } = this;
    for (const [index, changes] of touched) {
      const before = this.getBucket(index);
      const bucket = before.change(changes);
      buckets[index] = bucket;
      digests.set(bucket.digest(), index * DIGEST_BYTES);
      size += bucket.size - before.size;
      yield;
    }
    return new KeyringTree(buckets, digests, size);
  }

  /** SHA-256 over the buckets' digests. 32 bytes; computed once. */
  digest(): Uint8Array {
    this.#digest ??= sha256(this.#digests);
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

  /** The buckets that are not those of another keyring, each with the one that stands there instead. A change touches few of them. */
  *bucketsApartFrom(other: KeyringTree): IterableIterator<{ readonly bucket: Bucket; readonly instead: Bucket }> {
    for (const [index, bucket] of this.#buckets.entries()) {
      const instead = other.getBucket(index);
      if (bucket !== instead) yield { bucket, instead };
    }
  }

  /** Every entry, bucket by bucket. */
  *entries(): IterableIterator<DigestedEntry> {
    for (const bucket of this.#buckets) yield* bucket;
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
