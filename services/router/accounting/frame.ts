import { crc32 } from "node:zlib";
import { WireWriter } from "./wire-writer.ts";

/** What an entry of the spool is. Numbers are on disk: never reuse one. */
export const FrameType = { STARTED: 1, ATTEMPT: 2, FACTS: 3 } as const;
/** A number of the list above. */
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** An entry of the spool as it was read. */
export interface Frame {
  readonly type: FrameType;
  readonly payload: Buffer;
}

/** Before the payload: length of type and payload, their CRC-32 (both 4 bytes, big end first), and the type. */
export const FRAME_HEAD_BYTES = 9;
const TYPE_AT = 8;
/** No entry is larger; a length beyond it is not one of ours. */
export const FRAME_LIMIT_BYTES = 1 << 20;

/** A writer that can hold any entry. One serves a whole spool, since an entry is written before the next one is begun. */
export function createFrameWriter(): WireWriter {
  return new WireWriter(FRAME_HEAD_BYTES + FRAME_LIMIT_BYTES);
}

/** Begins an entry at the front of the writer; its payload is written next. */
export function openFrame(writer: WireWriter, type: FrameType): void {
  writer.bytes[TYPE_AT] = type;
  writer.at = FRAME_HEAD_BYTES;
}

/**
 * Ends an entry: it is `writer.bytes` from 0 to `writer.at`, to be written by one call. The check is zlib's CRC-32, which
 * Node has in native code: it must find what a dying process left half written, not an enemy. Throws RangeError when the
 * entry is too large.
 */
export function closeFrame(writer: WireWriter): void {
  const { bytes, at } = writer;
  const length = at - TYPE_AT;
  if (length > FRAME_LIMIT_BYTES) throw new RangeError(`Cannot spool entry: it has ${length} bytes`);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(crc32(bytes.subarray(TYPE_AT, at)), 4);
}

/** What was found at a place of a segment. */
export type FrameVerdict =
  | { readonly kind: "frame"; readonly frame: Frame; readonly bytes: number }
  /** The bytes end before the entry does; it needs so many from its beginning. */
  | { readonly kind: "short"; readonly needs: number }
  /** It is no entry: a write was cut off here, or the disk lies. */
  | { readonly kind: "torn" };

/** Reads the entry that begins at `at`. The payload is a view of `bytes`. */
export function readFrame(bytes: Buffer, at: number): FrameVerdict {
  const size = readFrameSize(bytes, at);
  if (size === undefined) return { kind: "torn" };
  if (bytes.length - at < size) return { kind: "short", needs: size };
  if (!isFrameWhole(bytes, at, size)) return { kind: "torn" };
  const payload = bytes.subarray(at + FRAME_HEAD_BYTES, at + size);
  return { kind: "frame", frame: { type: readFrameType(bytes, at), payload }, bytes: size };
}

/** Bytes of the entry that begins at `at`: of its head, when not even that is there; undefined when it is no entry. */
export function readFrameSize(bytes: Buffer, at: number): number | undefined {
  if (bytes.length - at < FRAME_HEAD_BYTES) return FRAME_HEAD_BYTES;
  const length = bytes.readUInt32BE(at);
  return length < 1 || length > FRAME_LIMIT_BYTES ? undefined : length + TYPE_AT;
}

/** What the entry that begins at `at` is. */
export function readFrameType(bytes: Buffer, at: number): FrameType {
  return bytes[at + TYPE_AT] as FrameType;
}

/** Whether the check of the entry that begins at `at`, and is all there, is good. */
export function isFrameWhole(bytes: Buffer, at: number, size: number): boolean {
  return crc32(bytes.subarray(at + TYPE_AT, at + size)) === bytes.readUInt32BE(at + 4);
}
