/**
 * The draw among weighted targets: a function of event id, target id and weight and nothing else, so that anyone who has the
 * record of a call can draw again. It is weighted rendezvous hashing (Efraimidis and Spirakis, "Weighted random sampling with a
 * reservoir", 2006): the highest u^(1/weight) wins, u being a hash of event and target. A target that comes or goes therefore
 * moves only the calls that it wins or loses. V8 computes log and exp in software (fdlibm), so a draw is the same on every
 * machine. Chosen for speed and spread; nobody who could profit chooses an event id.
 */

/** A 64-bit hash of an id as two 32-bit halves. */
export interface DrawSeed {
  readonly high: number;
  readonly low: number;
}

/** The largest draw. */
export const DRAW_RANGE = 1_000_000_000;

// The multipliers and the shape are those of cyrb53, the finish that of MurmurHash3 over both halves; both are public domain.
const MULTIPLIER_LOW = 0x9e3779b1;
const MULTIPLIER_HIGH = 0x5f356495;
const MIX_A = 0x85ebca6b;
const MIX_B = 0xc2b2ae35;
const TWO_TO_32 = 2 ** 32;
const TWO_TO_53 = 2 ** 53;

/** Hashes an id for draws. Targets are hashed once for a snapshot, an event once for a call. */
export function createDrawSeed(id: string): DrawSeed {
  let low = 0xdeadbeef;
  let high = 0x41c6ce57;
  for (let index = 0; index < id.length; index++) {
    const unit = id.charCodeAt(index);
    low = Math.imul(low ^ unit, MULTIPLIER_LOW);
    high = Math.imul(high ^ unit, MULTIPLIER_HIGH);
  }
  return { high, low };
}

/**
 * A target's score for an event: ln(u) / weight, at most 0; the highest is first. Kept beside the whole-numbered draw because
 * two large weights may share a draw and must not share a place.
 */
export function computeScore(event: DrawSeed, target: DrawSeed, weight: number): number {
  let low = event.low ^ target.low;
  // The rotation keeps an event and a target that hash alike from cancelling out in both halves.
  let high = event.high ^ ((target.high << 13) | (target.high >>> 19));
  for (let round = 0; round < 2; round++) {
    low = Math.imul(low ^ (low >>> 16), MIX_A) ^ Math.imul(high ^ (high >>> 13), MIX_B);
    high = Math.imul(high ^ (high >>> 16), MIX_A) ^ Math.imul(low ^ (low >>> 13), MIX_B);
  }
  const u = ((high & 0x1fffff) * TWO_TO_32 + (low >>> 0) + 0.5) / TWO_TO_53;
  return Math.log(u) / weight;
}

/** A score as the whole number that records show: round(u^(1/weight) × 1,000,000,000). A higher score never has a lower draw. */
export function toDraw(score: number): number {
  return Math.round(Math.exp(score) * DRAW_RANGE);
}
