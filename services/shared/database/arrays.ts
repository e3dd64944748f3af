import { WeirError } from "../errors/weir-error.ts";

/**
 * Columns of values as arrays in PostgreSQL's binary form, to be the parameters of `unnest($1::uuid[], …)`. A text array must be
 * escaped here and parsed there, value by value; this form is copied, holds any bytes as they are, and costs both sides a fraction.
 * None of them takes a null; what does not fit its type is refused as the database would refuse it, with ARGUMENT_INVALID. https://www.postgresql.org/docs/16/protocol-overview.html#PROTOCOL-FORMAT-CODES, arrayfuncs.c (array_recv)
 */

const BOOL = 16;
const BYTEA = 17;
const INT8 = 20;
const INT2 = 21;
const TEXT = 25;
const TIMESTAMPTZ = 1184;
const DATE = 1082;
const UUID = 2950;

/** Dimensions, flags, element type, and the length and lower bound of the one dimension: int32 each. */
const HEAD_BYTES = 20;
const LENGTH_BYTES = 4;
/** PostgreSQL counts time from 2000-01-01T00:00:00Z. */
const EPOCH_MS = 946_684_800_000;
const DAY_MS = 86_400_000;

/** uuid[]: from their text of 36 characters. Refuses anything else. */
export function uuidArray<Row>(rows: readonly Row[], pick: (row: Row) => string): Buffer {
  return fixedArray(UUID, 16, rows, (buffer, at, row) => writeUuid(buffer, at, pick(row)));
}

// By hand: removing the hyphens and decoding the rest costs five times as much, five times for each usage.
function writeUuid(buffer: Buffer, at: number, text: string): void {
  let isUuid = text.length === 36;
  let place = 0;
  for (let index = 0; isUuid && index < 16; index++) {
    if (place === 8 || place === 13 || place === 18 || place === 23) isUuid = text.charCodeAt(place++) === HYPHEN;
    const high = HEX_DIGITS[text.charCodeAt(place)] ?? -1;
    const low = HEX_DIGITS[text.charCodeAt(place + 1)] ?? -1;
    isUuid &&= high >= 0 && low >= 0;
    buffer[at + index] = (high << 4) | low;
    place += 2;
  }
  if (!isUuid) throw new RangeError(`"${text.slice(0, 40)}" is no uuid`);
}

const HYPHEN = 0x2d;
/** The value of each hexadecimal digit by its code; -1 for any other character. */
const HEX_DIGITS = Int8Array.from({ length: 128 }, (_, code) => {
  return "0123456789abcdef".indexOf(String.fromCharCode(code).toLowerCase());
});

/** int8[]: from BigInts of 64 bits. */
export function int8Array<Row>(rows: readonly Row[], pick: (row: Row) => bigint): Buffer {
  return fixedArray(INT8, 8, rows, (buffer, at, row) => void buffer.writeBigInt64BE(pick(row), at));
}

/** int2[]: from whole numbers of 16 bits. */
export function int2Array<Row>(rows: readonly Row[], pick: (row: Row) => number): Buffer {
  return fixedArray(INT2, 2, rows, (buffer, at, row) => void buffer.writeInt16BE(pick(row), at));
}

/** bool[]. */
export function boolArray<Row>(rows: readonly Row[], pick: (row: Row) => boolean): Buffer {
  return fixedArray(BOOL, 1, rows, (buffer, at, row) => {
    buffer[at] = pick(row) ? 1 : 0;
  });
}

/** timestamptz[]: from whole milliseconds since 1970. */
export function timestamptzArray<Row>(rows: readonly Row[], pick: (row: Row) => number): Buffer {
  return fixedArray(TIMESTAMPTZ, 8, rows, (buffer, at, row) => {
    buffer.writeBigInt64BE(BigInt(pick(row) - EPOCH_MS) * 1_000n, at);
  });
}

/** date[]: from the text YYYY-MM-DD of a day (UTC). */
export function dateArray<Row>(rows: readonly Row[], pick: (row: Row) => string): Buffer {
  return fixedArray(DATE, 4, rows, (buffer, at, row) => {
    buffer.writeInt32BE((Date.parse(pick(row)) - EPOCH_MS) / DAY_MS, at);
  });
}

/** text[]: PostgreSQL refuses NUL, as it does in any text. */
export function textArray<Row>(rows: readonly Row[], pick: (row: Row) => string): Buffer {
  let units = 0;
  for (const row of rows) units += pick(row).length;
  // A unit of UTF-16 has at most three bytes in UTF-8: room for all is cheaper than measuring each.
  const buffer = allocate(TEXT, rows.length, HEAD_BYTES + LENGTH_BYTES * rows.length + 3 * units);
  let at = HEAD_BYTES;
  for (const row of rows) {
    const length = writeText(buffer, at + LENGTH_BYTES, pick(row));
    writeLength(buffer, at, length);
    at += LENGTH_BYTES + length;
  }
  return buffer.subarray(0, at);
}

// Ids are short and plain, and a call out of JavaScript costs more than their few characters do.
function writeText(buffer: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length > PLAIN_LENGTH) return buffer.write(text, at);
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return buffer.write(text, at);
    buffer[at + index] = code;
  }
  return length;
}

const PLAIN_LENGTH = 48;

/** bytea[]. */
export function byteaArray<Row>(rows: readonly Row[], pick: (row: Row) => Uint8Array): Buffer {
  let size = HEAD_BYTES;
  for (const row of rows) size += LENGTH_BYTES + pick(row).length;
  const buffer = allocate(BYTEA, rows.length, size);
  let at = HEAD_BYTES;
  for (const row of rows) {
    const bytes = pick(row);
    writeLength(buffer, at, bytes.length);
    buffer.set(bytes, at + LENGTH_BYTES);
    at += LENGTH_BYTES + bytes.length;
  }
  return buffer;
}

function fixedArray<Row>(
  type: number,
  size: number,
  rows: readonly Row[],
  write: (buffer: Buffer, at: number, row: Row) => void,
): Buffer {
  const buffer = allocate(type, rows.length, HEAD_BYTES + rows.length * (LENGTH_BYTES + size));
  let at = HEAD_BYTES;
  try {
    for (const row of rows) {
      writeLength(buffer, at, size);
      write(buffer, at + LENGTH_BYTES, row);
      at += LENGTH_BYTES + size;
    }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new WeirError("ARGUMENT_INVALID", "Cannot encode values for the database: one does not fit its type", {
      cause,
    });
  }
  return buffer;
}

function writeLength(buffer: Buffer, at: number, length: number): void {
  buffer[at] = length >>> 24;
  buffer[at + 1] = length >>> 16;
  buffer[at + 2] = length >>> 8;
  buffer[at + 3] = length;
}

function allocate(type: number, count: number, size: number): Buffer {
  // Every byte is written below or by the caller.
  const buffer = Buffer.allocUnsafe(size);
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(0, 4);
  buffer.writeInt32BE(type, 8);
  buffer.writeInt32BE(count, 12);
  buffer.writeInt32BE(1, 16);
  return buffer;
}
