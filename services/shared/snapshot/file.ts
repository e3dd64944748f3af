import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { KeyringPageSchema } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { type DigestedEntry, KeyringTree } from "./digest.ts";
import type { HeadKind } from "./head.ts";

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

/** Writes the bytes of a file: a line with kind, format and the two lengths, then note and content. The note proves the content. */
export function encodeFile({ kind, note, content }: SnapshotFile): Uint8Array {
  return Buffer.concat([Buffer.from(`weir ${kind} ${FORMAT} ${note.length} ${content.length}\n`), note, content]);
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

/** The entries of a file. Undefined when they do not decode. */
export function decodeEntries(content: Uint8Array): KeyringTree | undefined {
  try {
    return KeyringTree.EMPTY.apply(fromBinary(KeyringPageSchema, content).entries);
  } catch {
    return undefined;
  }
}
