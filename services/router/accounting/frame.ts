import { crc32 } from "node:zlib";

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
const FRAME_HEAD_BYTES = 9;
/** No entry is larger; a length beyond it is not one of ours. */
export const FRAME_LIMIT_BYTES = 1 << 20;

/**
 * Encodes an entry, to be written by one call. The check is zlib's CRC-32, which Node has in native code: it must find
 * what a dying process left half written, not an enemy.
 */
export function encodeFrame(type: FrameType, parts: readonly Uint8Array[]): Buffer {
  let length = 1;
  for (const part of parts) length += part.length;
  if (length > FRAME_LIMIT_BYTES) throw new RangeError(`Cannot spool entry: it has ${length} bytes`);
  const frame = Buffer.allocUnsafe(length + FRAME_HEAD_BYTES - 1);
  frame.writeUInt32BE(length, 0);
  frame[8] = type;
  let at = FRAME_HEAD_BYTES;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  frame.writeUInt32BE(crc32(frame.subarray(8)), 4);
  return frame;
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
  if (bytes.length - at < FRAME_HEAD_BYTES) return { kind: "short", needs: FRAME_HEAD_BYTES };
  const length = bytes.readUInt32BE(at);
  if (length < 1 || length > FRAME_LIMIT_BYTES) return { kind: "torn" };
  const size = length + FRAME_HEAD_BYTES - 1;
  if (bytes.length - at < size) return { kind: "short", needs: size };
  const checked = bytes.subarray(at + 8, at + size);
  if (crc32(checked) !== bytes.readUInt32BE(at + 4)) return { kind: "torn" };
  return { kind: "frame", frame: { type: checked[0] as FrameType, payload: checked.subarray(1) }, bytes: size };
}
