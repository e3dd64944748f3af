import { randomBytes, randomFillSync, randomInt } from "node:crypto";

/** The 12 bits of `rand_a` are a counter here (RFC 9562, section 6.2, method 1). */
const COUNTER_LIMIT = 0x1000;

/** Random bytes for ids of events, drawn many at a time: one system call an id took a twentieth of a request's CPU. */
const POOL = Buffer.alloc(4096);
let drawn = POOL.length;

let lastMs = 0;
let counter = 0;

/**
 * Mints the id of an event: a UUIDv7 (RFC 9562, section 5.7) in lower case, which sorts by time. Within this process
 * each is greater than the one before, also within a millisecond and when the clock went back.
 */
export function createEventId(nowMs: number): string {
  if (nowMs > lastMs) {
    lastMs = Math.floor(nowMs);
    // Half of the counter is left free, so that it seldom runs over within a millisecond.
    counter = randomInt(COUNTER_LIMIT / 2);
  } else {
    counter += 1;
    if (counter === COUNTER_LIMIT) {
      // Borrow from the future, as the RFC allows, rather than repeat or wait.
      lastMs += 1;
      counter = 0;
    }
  }
  const time = lastMs.toString(16).padStart(12, "0");
  if (drawn === POOL.length) {
    randomFillSync(POOL);
    drawn = 0;
  }
  POOL[drawn] = (POOL[drawn]! & 0x3f) | 0x80;
  const rest = POOL.toString("hex", drawn, drawn + 8);
  drawn += 8;
  const middle = counter.toString(16).padStart(3, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${middle}-${rest.slice(0, 4)}-${rest.slice(4)}`;
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
