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

const ENTRIES_TAG = toTag(KeyringPageSchema.field.entries.number);
const ID_TAG = toTag(KeyringEntrySchema.field.id.number);
const GRANT_TAG = toTag(KeyringEntrySchema.field.grant.number);

/** Where entries are laid out to be digested, within one call: an array for each bucket would leave as much to collect as the buckets do. */
let layout = Buffer.allocUnsafeSlow(32 * 1024);

/**
 * The entries of one bucket of a keyring, each id once. It never changes: `change` returns another one.
 *
 * All of them are one array of bytes. With a map for each bucket, and an object for each of 100,000 keys, collections of garbage took
 * tens of milliseconds while keys were made, since whatever a change makes anew survives for a while and is copied; of this there are
 * four objects a bucket.
 */
export class Bucket implements Iterable<DigestedEntry> {
  /** The entries as an encoded KeyringPage has them, by the bytes of their ids. To be read only. */
  readonly encoded: Buffer;
  /** Where each entry begins, by id. */
  readonly #starts: Uint32Array;

  private constructor(pieces: readonly Uint8Array[], size: number) {
    // One array for both: as one of JavaScript's numbers, where entries begin would be most of what a collection copies.
    const startsBytes = size * Uint32Array.BYTES_PER_ELEMENT;
    const bytes = Buffer.concat([Buffer.allocUnsafe(startsBytes), ...pieces]);
    this.encoded = bytes.subarray(startsBytes);
    this.#starts = new Uint32Array(bytes.buffer, bytes.byteOffset, size);
    for (let index = 0, start = 0; index < size; index++, start = endOf(this.encoded, start))
      this.#starts[index] = start;
  }

  /** The one without entries. */
  static readonly EMPTY: Bucket = new Bucket([], 0);

  /** How many entries there are. */
  get size(): number {
    return this.#starts.length;
  }

  /** The bucket after a change: entries that are new or different, and ids without a grant, which go (one that is not there is no error). */
  change(changes: ReadonlyMap<string, Uint8Array | undefined>): Bucket {
    const changed = Array.from(changes, ([id, grant]) => ({ id: Buffer.from(id), grant }));
    changed.sort((a, b) => Buffer.compare(a.id, b.id));
    const pieces: Uint8Array[] = [];
    let { size } = this;
    let taken = 0;
    for (const { id, grant } of changed) {
      const { start, end } = this.#locate(id);
      pieces.push(this.encoded.subarray(taken, start));
      if (start !== end) size -= 1;
      if (grant !== undefined) {
        pieces.push(encodeEntry(id, grant));
        size += 1;
      }
      taken = end;
    }
    pieces.push(this.encoded.subarray(taken));
    return new Bucket(pieces, size);
  }

  /** SHA-256 over id by id, each behind its length and before its grant with its own. 32 bytes; computed at each call. */
  digest(): Uint8Array {
    const { encoded } = this;
    // Tags and lengths are six bytes of an entry at least where these are encoded, and eight where they are digested.
    const most = encoded.length + 2 * this.size;
    if (layout.length < most) layout = Buffer.allocUnsafeSlow(2 * most);
    let end = 0;
    for (const start of this.#starts) {
      const id = contentOf(encoded, start);
      const grant = endOf(encoded, id);
      end = layOut(encoded, id, end);
      end = layOut(encoded, grant, end);
    }
    return hash("sha256", layout.subarray(0, end), "buffer");
  }

  /** The encoded grant of an id. Takes about as long for an id that is not there. */
  find(id: string): Uint8Array | undefined {
    const { start, end } = this.#locate(Buffer.from(id));
    return start === end ? undefined : this.#read(start).grant;
  }

  /** Every entry, by the bytes of its id. */
  *[Symbol.iterator](): IterableIterator<DigestedEntry> {
    for (const start of this.#starts) yield this.#read(start);
  }

  /** The entries whose ids begin so. */
  *startingWith(prefix: string): IterableIterator<DigestedEntry> {
    let { start } = this.#locate(Buffer.from(prefix));
    for (; start < this.encoded.length; start = endOf(this.encoded, start)) {
      const entry = this.#read(start);
      if (!entry.id.startsWith(prefix)) return;
      yield entry;
    }
  }

  /** The entries that another bucket lacks, or has with another grant. */
  *differingFrom(other: Bucket): IterableIterator<DigestedEntry> {
    if (this.encoded.equals(other.encoded)) return;
    for (const start of this.#starts) {
      const id = contentOf(this.encoded, start);
      const known = other.#locate(this.encoded, contentOf(this.encoded, id), endOf(this.encoded, id));
      const end = endOf(this.encoded, start);
      if (other.encoded.compare(this.encoded, start, end, known.start, known.end) !== 0) yield this.#read(start);
    }
  }

  /** Where the entry of an id, the bytes from `begin` to `end`, stands; where it would, with no length, when it is not there. */
  #locate(id: Buffer, begin = 0, end = id.length): { readonly start: number; readonly end: number } {
    let [from, to] = [0, this.#starts.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      const start = this.#starts[middle] as number;
      const field = contentOf(this.encoded, start);
      // In place: an array for each id that is looked at would be most of what a change leaves to be collected.
      const order = this.encoded.compare(id, begin, end, contentOf(this.encoded, field), endOf(this.encoded, field));
      if (order === 0) return { start, end: endOf(this.encoded, start) };
      if (order < 0) from = middle + 1;
      else to = middle;
    }
    const start = this.#starts[from] ?? this.encoded.length;
    return { start, end: start };
  }

  #read(start: number): DigestedEntry {
    const id = contentOf(this.encoded, start);
    const grant = endOf(this.encoded, id);
    return {
      id: this.encoded.toString("utf8", contentOf(this.encoded, id), grant),
      grant: this.encoded.subarray(contentOf(this.encoded, grant), endOf(this.encoded, grant)),
    };
  }
}

/** Lays out a field as it is digested, its length before its content, and returns where that ends. */
function layOut(encoded: Buffer, field: number, at: number): number {
  const [begin, end] = [contentOf(encoded, field), endOf(encoded, field)];
  const content = layout.writeUInt32BE(end - begin, at);
  return content + encoded.copy(layout, content, begin, end);
}

/** An entry as a KeyringPage has it. Both fields are written, since no id or grant of ours is empty; an empty one reads as none. */
function encodeEntry(id: Uint8Array, grant: Uint8Array): Buffer {
  const length = 2 + varintLength(id.length) + id.length + varintLength(grant.length) + grant.length;
  const bytes = Buffer.allocUnsafe(1 + varintLength(length) + length);
  let at = writeLength(bytes, 0, ENTRIES_TAG, length);
  at = writeLength(bytes, at, ID_TAG, id.length);
  bytes.set(id, at);
  at = writeLength(bytes, at + id.length, GRANT_TAG, grant.length);
  bytes.set(grant, at);
  return bytes;
}

/** The tag of a field with a length. Those of numbers to 15 are one byte. */
function toTag(field: number): number {
  return (field << 3) | WireType.LengthDelimited;
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

/** Where the content of a field begins: behind its tag, of one byte, and its length. An entry is a field whose content is two fields. */
function contentOf(encoded: Buffer, field: number): number {
  let at = field + 1;
  while ((encoded[at] as number) > 0x7f) at += 1;
  return at + 1;
}

/** Where a field ends. */
function endOf(encoded: Buffer, field: number): number {
  const content = contentOf(encoded, field);
  let length = 0;
  for (let at = content - 1; at > field; at--) length = (length << 7) | ((encoded[at] as number) & 0x7f);
  return content + length;
}
