import { randomBytes, randomFillSync } from "node:crypto";

/** The 12 bits of `rand_a` are a counter here (RFC 9562, section 6.2, method 1). */
const COUNTER_LIMIT = 0x1000;

/** Random bytes for ids of events, drawn many at a time: one system call an id took a twentieth of a request's CPU. */
const POOL = Buffer.alloc(4096);
let drawn = POOL.length;

/** What an id takes of them: eight bytes of its end, two for where the counter begins in a new millisecond. */
const DRAW_BYTES = 10;

/** The id that was minted last, as text: the next one writes over what differs. `7` is the version. */
const ID = Buffer.from("00000000-0000-7000-0000-000000000000", "latin1");
const HEX = Buffer.from("0123456789abcdef", "latin1");

let lastMs = 0;
let counter = 0;

/**
 * Mints the id of an event: a UUIDv7 (RFC 9562, section 5.7) in lower case, which sorts by time. Within this process
 * each is greater than the one before, also within a millisecond and when the clock went back.
 */
export function createEventId(nowMs: number): string {
  if (drawn + DRAW_BYTES > POOL.length) {
    randomFillSync(POOL);
    drawn = 0;
  }
  if (nowMs > lastMs) {
    setTime(Math.floor(nowMs));
    // Half of the counter is left free, so that it seldom runs over within a millisecond.
    counter = POOL.readUInt16LE(drawn + 8) % (COUNTER_LIMIT / 2);
  } else {
    counter += 1;
    if (counter === COUNTER_LIMIT) {
      // Borrow from the future, as the RFC allows, rather than repeat or wait.
      setTime(lastMs + 1);
      counter = 0;
    }
  }
  ID[15] = HEX[counter >> 8]!;
  writeHex(16, counter & 0xff);
  // The variant, in the two highest bits.
  writeHex(19, (POOL[drawn]! & 0x3f) | 0x80);
  writeHex(21, POOL[drawn + 1]!);
  for (let byte = 0; byte < 6; byte++) writeHex(24 + 2 * byte, POOL[drawn + 2 + byte]!);
  drawn += DRAW_BYTES;
  // One flat string of one byte a character, where joined pieces would be joined again by each who reads them.
  return ID.toString("latin1");
}

function setTime(ms: number): void {
  lastMs = ms;
  // 48 bits, of which operators on bits take 32 at a time.
  const high = Math.floor(ms / 2 ** 32);
  writeHex(0, (high >> 8) & 0xff);
  writeHex(2, high & 0xff);
  writeHex(4, (ms >>> 24) & 0xff);
  writeHex(6, (ms >>> 16) & 0xff);
  writeHex(9, (ms >>> 8) & 0xff);
  writeHex(11, ms & 0xff);
}

function writeHex(at: number, byte: number): void {
  ID[at] = HEX[byte >> 4]!;
  ID[at + 1] = HEX[byte & 0xf]!;
}

/** Mints the id of one life of a process: 26 characters of a-z and 2-7, never the same again. */
export function createBootId(): string {
  return randomBase32(26);
}

/** Mints the id of a virtual key: 12 characters of a-z and 2-7 (60 random bits; the store refuses the rare repeat). */
export function createKeyId(): string {
  return randomBase32(12);
}

/** Alphabet of RFC 4648, section 6, in lower case. */
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

function randomBase32(length: number): string {
  // 32 divides 256, so the low five bits of a random byte are evenly spread.
  return Array.from(randomBytes(length), (byte) => BASE32[byte & 31]).join("");
}
