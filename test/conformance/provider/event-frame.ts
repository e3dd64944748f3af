import { crc32 } from "node:zlib";

/** Type of a header's value: text with a length of 16 bits. */
const STRING_TYPE = 7;

/**
 * A message of AWS's binary event stream (https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html): total length, length of
 * the headers, CRC of these two, headers, payload, CRC of all. Written here by hand, so that the router's library meets bytes that
 * are not its own.
 */
export function toEventFrame(headers: Readonly<Record<string, string>>, payload: Buffer): Buffer {
  const head = Buffer.concat(
    Object.entries(headers).map(([name, value]) => {
      const bytes = Buffer.from(value);
      const part = Buffer.alloc(1 + name.length + 3);
      part.writeUInt8(name.length, 0);
      part.write(name, 1, "latin1");
      part.writeUInt8(STRING_TYPE, 1 + name.length);
      part.writeUInt16BE(bytes.length, 2 + name.length);
      return Buffer.concat([part, bytes]);
    }),
  );
  const frame = Buffer.alloc(12 + head.length + payload.length + 4);
  frame.writeUInt32BE(frame.length, 0);
  frame.writeUInt32BE(head.length, 4);
  frame.writeUInt32BE(crc32(frame.subarray(0, 8)), 8);
  head.copy(frame, 12);
  payload.copy(frame, 12 + head.length);
  frame.writeUInt32BE(crc32(frame.subarray(0, -4)), frame.length - 4);
  return frame;
}
