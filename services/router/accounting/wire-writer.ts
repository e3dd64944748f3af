const BYTE = 0x80;
const LARGEST_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const NANOS_PER_MS = 1_000_000;

/**
 * Writes the wire format of protobuf into one buffer that is used again and again, so that an entry of the spool costs no
 * allocation. The bytes are those of `toBinary`: fields in the order of the calls, lengths as short as they go, and what proto3
 * leaves out (zero, empty text) left out. Fields up to number 15 only: their tags are one byte.
 *
 * Nothing is checked against the end of the buffer on the way: who uses it looks at `at` afterwards, which counts on.
 * https://protobuf.dev/programming-guides/encoding/
 */
export class WireWriter {
  readonly bytes: Buffer;
  /** Where the next byte goes. */
  at = 0;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** A field of an integer or enum, left out when 0. Numbers are whole and safe. */
  int(field: number, value: number | bigint): void {
    if (typeof value === "bigint") {
      this.#bigint(field, value);
      return;
    }
    if (value === 0) return;
    if (value < 0) {
      this.#bigint(field, BigInt(value));
      return;
    }
    this.bytes[this.at++] = field << 3;
    this.varint(value);
  }

  /** A field of true, left out when false. */
  bool(field: number, value: boolean): void {
    if (value) this.int(field, 1);
  }

  /** A field of text, left out when empty. */
  text(field: number, value: string): void {
    if (value !== "") this.item(field, value);
  }

  /** One of repeated texts: written also when empty. */
  item(field: number, value: string): void {
    const { bytes } = this;
    const { length } = value;
    bytes[this.at++] = (field << 3) | 2;
    if (length < BYTE) {
      // Ids and names are short and ASCII, and then as many bytes as characters: no call out of JavaScript.
      const start = this.at + 1;
      let index = 0;
      for (; index < length; index++) {
        const code = value.charCodeAt(index);
        if (code >= BYTE) break;
        bytes[start + index] = code;
      }
      if (index === length) {
        bytes[this.at] = length;
        this.at = start + length;
        return;
      }
    }
    const size = Buffer.byteLength(value);
    this.varint(size);
    bytes.write(value, Math.min(this.at, bytes.length));
    this.at += size;
  }

  /** A field of bytes, or of a message that is encoded already. */
  message(field: number, encoded: Uint8Array): void {
    this.bytes[this.at++] = (field << 3) | 2;
    this.varint(encoded.length);
    this.raw(encoded);
  }

  /** A Timestamp, of milliseconds since 1970; parts of a millisecond are cut off. */
  timestamp(field: number, ms: number): void {
    const start = this.open(field);
    const whole = Math.floor(ms);
    const seconds = Math.floor(whole / 1000);
    this.int(1, seconds);
    this.int(2, (whole - seconds * 1000) * NANOS_PER_MS);
    this.close(start);
  }

  /** Begins a message within this one. Hand what it returns to `close` when its fields are written. */
  open(field: number): number {
    this.bytes[this.at++] = (field << 3) | 2;
    return this.at++;
  }

  /** Ends a message. */
  close(start: number): void {
    const size = this.at - start - 1;
    if (size < BYTE) {
      this.bytes[start] = size;
      return;
    }
    // One byte was left for the length. Moving what follows is cheaper than to reckon all lengths beforehand.
    const more = size < 0x4000 ? 1 : size < 0x20_0000 ? 2 : 3;
    this.bytes.copyWithin(start + 1 + more, start + 1, this.at);
    this.at = start;
    this.varint(size);
    this.at += size;
  }

  /** Text of a fixed number of ASCII characters, without a tag: cut or filled with zeros. */
  latin1(value: string, size: number): void {
    const { bytes, at } = this;
    for (let index = 0; index < size; index++) bytes[at + index] = index < value.length ? value.charCodeAt(index) : 0;
    this.at = at + size;
  }

  /** A whole number from 0 to 2^53 in 8 bytes, big end first. */
  uint64(value: number): void {
    this.#uint32(Math.floor(value / 2 ** 32));
    this.#uint32(value % 2 ** 32);
  }

  /** Bytes as they are. */
  raw(encoded: Uint8Array): void {
    this.bytes.set(encoded, this.at);
    this.at += encoded.length;
  }

  /** Once more what was written from one place to another. */
  again(from: number, to: number): void {
    this.bytes.copyWithin(this.at, from, to);
    this.at += to - from;
  }

  /** Once more the messages that stand from one place to another, each under a tag of one byte, now as those of `field`. */
  itemsAgain(field: number, from: number, to: number): void {
    const { bytes } = this;
    let at = this.at;
    this.again(from, to);
    // Beyond the end nothing was written that could be read here.
    if (this.at > bytes.length) return;
    while (at < this.at) {
      bytes[at++] = (field << 3) | 2;
      let size = 0;
      let shift = 0;
      for (;;) {
        const byte = bytes[at++] as number;
        size |= (byte & 0x7f) << shift;
        if (byte < BYTE) break;
        shift += 7;
      }
      at += size;
    }
  }

  /** A varint of a whole number from 0 to 2^53. */
  varint(value: number): void {
    const { bytes } = this;
    let { at } = this;
    let rest = value;
    // Bit operators take a number modulo 2^32: right for the low bits, but the shift must be a division up here.
    while (rest > 0x7fff_ffff) {
      bytes[at++] = (rest & 0x7f) | BYTE;
      rest = Math.floor(rest / BYTE);
    }
    while (rest >= BYTE) {
      bytes[at++] = (rest & 0x7f) | BYTE;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.at = at;
  }

  #uint32(value: number): void {
    this.bytes[this.at++] = value >>> 24;
    this.bytes[this.at++] = value >>> 16;
    this.bytes[this.at++] = value >>> 8;
    this.bytes[this.at++] = value;
  }

  #bigint(field: number, value: bigint): void {
    if (value >= 0n && value <= LARGEST_SAFE) {
      this.int(field, Number(value));
      return;
    }
    this.bytes[this.at++] = field << 3;
    // Negative numbers take ten bytes, as two's complement of 64 bits.
    let rest = BigInt.asUintN(64, value);
    while (rest > LARGEST_SAFE) {
      this.bytes[this.at++] = Number(rest & 0x7fn) | BYTE;
      rest >>= 7n;
    }
    this.varint(Number(rest));
  }
}
