import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { KeyringEntrySchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { KeyringPageSchema } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { DigestedEntry } from "./bucket.ts";
import { BUCKET_COUNT, KeyringTree } from "./digest.ts";
import type { HeadKind } from "./head.ts";
import type { Steps } from "./slices.ts";

/** What a file holds: the signed note and the bytes that it speaks of. */
export interface SnapshotFile {
  readonly kind: HeadKind;
  readonly note: Uint8Array;
  readonly content: Uint8Array;
}

/** The format that is written. A reader knows this one and every older one. */
const FORMAT = 1;
const FIRST_LINE = /^weir (snapshot|keyring) ([0-9]{1,4}) ([0-9]{1,10}) ([0-9]{1,10})\n/;
const FIRST_LINE_LIMIT = 64;

/** The bytes of a file: a line with kind, format and the two lengths, then note and content, which proves nothing without its note. */
export function encodeFile({ kind, note, content }: SnapshotFile): Buffer {
  return Buffer.concat([firstLine(kind, note.length, content.length), note, content]);
}

/** Reads the bytes of a file, which anybody may have changed. Undefined when it has not the form of one, or a newer one. */
export function decodeFile(bytes: Buffer): SnapshotFile | undefined {
  const match = FIRST_LINE.exec(bytes.toString("latin1", 0, FIRST_LINE_LIMIT));
  if (match === null) return undefined;
  const [line, kind, format, noteLength, contentLength] = match as unknown as [
    string,
    HeadKind,
    string,
    string,
    string,
  ];
  if (Number(format) < 1 || Number(format) > FORMAT) return undefined;
  const split = line.length + Number(noteLength);
  if (bytes.length !== split + Number(contentLength)) return undefined;
  return { kind, note: bytes.subarray(line.length, split), content: bytes.subarray(split) };
}

/** A keyring's entries as the content of a file: one page with all of them. */
export function encodeEntries(entries: Iterable<DigestedEntry>): Uint8Array {
  // The version stands in the signed head only: what is beside the entries here, nobody could check.
  const page = create(KeyringPageSchema);
  for (const { id, grant } of entries) page.entries.push({ $typeName: "weir.policy.v1.KeyringEntry", id, grant });
  return toBinary(KeyringPageSchema, page);
}

/** So many buckets are one piece of a file: of 100,000 keys some 350 KiB. */
const BUCKETS_PER_PIECE = 32;

/**
 * The bytes of a keyring's file in pieces, each made as it is asked for and good until the next one is: a keyring is large, and there is
 * one array of bytes for all of its pieces. Parts of a page one behind the other are that page.
 */
export function* toKeyringPieces(note: Uint8Array, tree: KeyringTree): Generator<Uint8Array, undefined> {
  const buckets = Array.from(tree.buckets(), ({ encoded }) => encoded);
  yield firstLine("keyring", note.length, sizeOf(buckets));
  yield note;
  const pieces = Array.from({ length: BUCKET_COUNT / BUCKETS_PER_PIECE }, (_, piece) =>
    buckets.slice(piece * BUCKETS_PER_PIECE, (piece + 1) * BUCKETS_PER_PIECE),
  );
  const bytes = Buffer.allocUnsafe(Math.max(...pieces.map(sizeOf)));
  for (const piece of pieces) {
    const end = piece.reduce((at, bucket) => at + bucket.copy(bytes, at), 0);
    yield bytes.subarray(0, end);
  }
}

function sizeOf(arrays: readonly Uint8Array[]): number {
  return arrays.reduce((size, { length }) => size + length, 0);
}

function firstLine(kind: HeadKind, noteLength: number, contentLength: number): Buffer {
  return Buffer.from(`weir ${kind} ${FORMAT} ${noteLength} ${contentLength}\n`);
}

/** So many entries are decoded in a step. */
const STEP = 256;
const ENTRIES = KeyringPageSchema.field.entries.number;

/** The entries of a file. Undefined when they do not decode. */
export function* decodeEntries(content: Uint8Array): Steps<KeyringTree | undefined> {
  const entries: DigestedEntry[] = [];
  try {
    const reader = new BinaryReader(content);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === ENTRIES && wireType === WireType.LengthDelimited) {
        entries.push(fromBinary(KeyringEntrySchema, reader.bytes()));
      } else {
        reader.skip(wireType, field);
      }
      if (entries.length % STEP === 0) yield;
    }
  } catch {
    return undefined;
  }
  return yield* KeyringTree.EMPTY.applySteps(entries);
}
