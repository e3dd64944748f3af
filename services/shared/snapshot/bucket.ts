import { hash } from "node:crypto";
import { WireType } from "@bufbuild/protobuf/wire";
import { KeyringEntrySchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { KeyringPageSchema } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";

/** An entry of a keyring as it is digested; a `KeyringEntry` message is one. */
export interface DigestedEntry {
  /** The key id, or "tenant:" and the tenant's path. */
  readonly id: string;
  /** The encoded KeyringGrant, as policy made it. */
  readonly grant: Uint8Array;
}

const LENGTH_BYTES = 4;
const ENTRIES_TAG = toTag(KeyringPageSchema.field.entries.number);
const ID_TAG = toTag(KeyringEntrySchema.field.id.number);
const GRANT_TAG = toTag(KeyringEntrySchema.field.grant.number);

/**
 * The entries of one bucket of a keyring, each id once. It never changes: `change` returns another one.
 *
 * All of them are one array of bytes, just those that are digested: id by id, each behind its length and before its grant with its own.
 * With a map for each bucket, and an object for each of 100,000 keys, collections of garbage took tens of milliseconds while keys were made,
 * since whatever a change makes anew survives for a while and is copied; of this there are three objects a bucket.
 */
export class Bucket implements Iterable<DigestedEntry> {
  readonly #bytes: Buffer;
  /** Where each entry begins, by id. */
  readonly #starts: readonly number[];
  /** How many bytes {@link writeTo} writes. */
  readonly writtenBytes: number;
  /** SHA-256 of the bytes: 32 bytes. That of an empty bucket is the SHA-256 of nothing. */
  readonly digest: Uint8Array;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
    const starts: number[] = [];
    let written = 0;
    for (let at = 0; at < bytes.length; at = this.#endOf(at)) {
      starts.push(at);
      const length = entryLength(this.#idLengthOf(at), this.#grantLengthOf(at));
      written += 1 + varintLength(length) + length;
    }
    this.#starts = starts;
    this.writtenBytes = written;
    this.digest = new Uint8Array(hash("sha256", bytes, "buffer"));
  }

  /** The one without entries. */
  static readonly EMPTY: Bucket = new Bucket(Buffer.alloc(0));

  /** How many entries there are. */
  get size(): number {
    return this.#starts.length;
  }

  /** The bucket after a change: entries that are new or different, and ids without a grant, which go (one that is not there is no error). */
  change(changes: ReadonlyMap<string, Uint8Array | undefined>): Bucket {
    const changed = Array.from(changes, ([id, grant]) => ({ id: Buffer.from(id), grant }));
    changed.sort((a, b) => Buffer.compare(a.id, b.id));
    const pieces: Uint8Array[] = [];
    let taken = 0;
    for (const { id, grant } of changed) {
      const { start, end } = this.#locate(id);
      pieces.push(this.#bytes.subarray(taken, start));
      if (grant !== undefined) pieces.push(toLength(id), id, toLength(grant), grant);
      taken = end;
    }
    pieces.push(this.#bytes.subarray(taken));
    return new Bucket(Buffer.concat(pieces));
  }

  /** The encoded grant of an id. Takes about as long for an id that is not there. */
  find(id: string): Uint8Array | undefined {
    const { start, end } = this.#locate(Buffer.from(id));
    return start === end ? undefined : this.#grantOf(start);
  }

  /** Every entry, by the bytes of its id. */
  *[Symbol.iterator](): IterableIterator<DigestedEntry> {
    for (const start of this.#starts) yield this.#read(start);
  }

  /** The entries whose ids begin so. */
  *startingWith(prefix: string): IterableIterator<DigestedEntry> {
    const { start } = this.#locate(Buffer.from(prefix));
    for (let at = start; at < this.#bytes.length; at = this.#endOf(at)) {
      const entry = this.#read(at);
      if (!entry.id.startsWith(prefix)) return;
      yield entry;
    }
  }

  /** The entries that another bucket lacks, or has with another grant. */
  *differingFrom(other: Bucket): IterableIterator<DigestedEntry> {
    if (Buffer.compare(this.digest, other.digest) === 0) return;
    for (const start of this.#starts) {
      const at = start + LENGTH_BYTES;
      const known = other.#locate(this.#bytes, at, at + this.#idLengthOf(start));
      const isSame = other.#bytes.compare(this.#bytes, start, this.#endOf(start), known.start, known.end) === 0;
      if (!isSame) yield this.#read(start);
    }
  }

  /**
   * Writes the entries as they stand in an encoded KeyringPage, and returns where they end. Byte by byte, since messages made of 100,000
   * entries are what collections of garbage are about in a router that writes its keyring to disk.
   */
  writeTo(target: Buffer, at: number): number {
    let end = at;
    for (const start of this.#starts) {
      const [idLength, grantLength] = [this.#idLengthOf(start), this.#grantLengthOf(start)];
      const id = start + LENGTH_BYTES;
      const grant = id + idLength + LENGTH_BYTES;
      end = writeLength(target, end, ENTRIES_TAG, entryLength(idLength, grantLength));
      end = writeLength(target, end, ID_TAG, idLength);
      end += this.#bytes.copy(target, end, id, id + idLength);
      end = writeLength(target, end, GRANT_TAG, grantLength);
      end += this.#bytes.copy(target, end, grant, grant + grantLength);
    }
    return end;
  }

  /** Where the entry of an id, the bytes from `begin` to `end`, stands; where it would, with no length, when it is not there. */
  #locate(id: Buffer, begin = 0, end = id.length): { readonly start: number; readonly end: number } {
    let [from, to] = [0, this.#starts.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      const start = this.#starts[middle] as number;
      const at = start + LENGTH_BYTES;
      // In place: an array for each id that is looked at would be most of what a change leaves to be collected.
      const order = this.#bytes.compare(id, begin, end, at, at + this.#idLengthOf(start));
      if (order === 0) return { start, end: this.#endOf(start) };
      if (order < 0) from = middle + 1;
      else to = middle;
    }
    const start = this.#starts[from] ?? this.#bytes.length;
    return { start, end: start };
  }

  #read(start: number): DigestedEntry {
    return { id: this.#idOf(start).toString(), grant: this.#grantOf(start) };
  }

  #idOf(start: number): Buffer {
    const at = start + LENGTH_BYTES;
    return this.#bytes.subarray(at, at + this.#idLengthOf(start));
  }

  #grantOf(start: number): Buffer {
    const end = this.#endOf(start);
    return this.#bytes.subarray(end - this.#grantLengthOf(start), end);
  }

  #endOf(start: number): number {
    return start + 2 * LENGTH_BYTES + this.#idLengthOf(start) + this.#grantLengthOf(start);
  }

  #idLengthOf(start: number): number {
    return this.#bytes.readUInt32BE(start);
  }

  #grantLengthOf(start: number): number {
    return this.#bytes.readUInt32BE(start + LENGTH_BYTES + this.#idLengthOf(start));
  }
}

function toLength({ length }: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES);
  bytes.writeUInt32BE(length);
  return bytes;
}

/** The tag of a field with a length. Those of numbers to 15 are one byte. */
function toTag(field: number): number {
  return (field << 3) | WireType.LengthDelimited;
}

/** Of a KeyringEntry. Both fields are written, since no id or grant of ours is empty; an empty one reads as none. */
function entryLength(idLength: number, grantLength: number): number {
  return 2 + varintLength(idLength) + idLength + varintLength(grantLength) + grantLength;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) length += 1;
  return length;
}

function writeLength(target: Buffer, at: number, tag: number, length: number): number {
  let end = target.writeUInt8(tag, at);
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) end = target.writeUInt8((rest & 0x7f) | 0x80, end);
  return target.writeUInt8(rest, end);
}
