/**
 * Money in Weir: integer nano-dollars in `bigint` (int64 on the wire), prices in nano-dollars per million units of a meter.
 * There is one rounding rule, up to the next nano-dollar for each line of a bill, and nothing is ever rounded by floating point.
 */
import { WeirError } from "../errors/weir-error.ts";

/** Nano-dollars in a dollar. */
const NANOS_PER_DOLLAR = 1_000_000_000n;
/** Largest amount that fits the wire and the ledger (int64): 9,223,372,036.854775807 dollars. */
export const MAX_NANOS = 2n ** 63n - 1n;
/** Prices are for this many units (tokens, images …). */
export const PRICE_UNIT = 1_000_000n;
const PRICE_UNIT_NUMBER = Number(PRICE_UNIT);

/**
 * The cost of `quantity` units at `nanosPerMillion`, rounded up to a whole nano-dollar. Sum lines, never round a sum again.
 * Throws ARGUMENT_INVALID when either is negative or the cost does not fit int64: a wrong bill is worse than none.
 */
export function costNanos(quantity: bigint, nanosPerMillion: bigint): bigint {
  if (quantity < 0n) throw refuse("compute cost", `quantity is ${quantity}, must not be negative`);
  if (nanosPerMillion < 0n) throw refuse("compute cost", `price is ${nanosPerMillion}, must not be negative`);
  const cost = (quantity * nanosPerMillion + PRICE_UNIT - 1n) / PRICE_UNIT;
  if (cost > MAX_NANOS) throw refuse("compute cost", `${cost} nano-dollars is more than ${MAX_NANOS}`);
  return cost;
}

/**
 * The same as `costNanos` for numbers, for where a bill is written many thousand times a second. It answers only where it is
 * exact: both whole, not negative, and their product below 2^53. Otherwise it returns undefined, and `costNanos` must be asked.
 */
export function findCostNanos(quantity: number, nanosPerMillion: number): number | undefined {
  const product = quantity * nanosPerMillion;
  if (
    !Number.isSafeInteger(quantity) ||
    quantity < 0 ||
    !Number.isSafeInteger(nanosPerMillion) ||
    nanosPerMillion < 0
  ) {
    return undefined;
  }
  // A true product of 2^53 or more is not rounded below it, so what is safe here is the true one.
  if (!Number.isSafeInteger(product)) return undefined;
  // The quotient may be rounded up to a whole number, never past one; the rest is exact, and tells.
  const whole = Math.floor(product / PRICE_UNIT_NUMBER);
  return product - whole * PRICE_UNIT_NUMBER > 0 ? whole + 1 : whole;
}

/**
 * Reads a decimal amount of dollars, such as a price `"2.50"` in a policy, as nano-dollars. Exact: at most nine decimals, no
 * sign, exponent, separator or leading zero. It takes text only, because a YAML or JSON number has lost digits already.
 * Throws ARGUMENT_INVALID otherwise.
 */
export function parseDollars(text: string): bigint {
  // The text comes from a person or a caller; its length is bounded before anything else looks at it.
  const match = text.length <= 20 ? /^(0|[1-9][0-9]*)(?:\.([0-9]{1,9}))?$/.exec(text) : null;
  if (!match) {
    throw refuse("read dollars", `"${text.slice(0, 20)}" is not an amount such as "2.50" with at most nine decimals`);
  }
  const nanos = BigInt(match[1] ?? "0") * NANOS_PER_DOLLAR + BigInt((match[2] ?? "").padEnd(9, "0"));
  if (nanos > MAX_NANOS) throw refuse("read dollars", `"${text}" is more than ${formatDollars(MAX_NANOS)}`);
  return nanos;
}

/** Writes nano-dollars as dollars with all their digits and at least two decimals: `2.50`, `0.0000375`, `-1.00`. */
export function formatDollars(nanos: bigint): string {
  const absolute = nanos < 0n ? -nanos : nanos;
  const fraction = (absolute % NANOS_PER_DOLLAR)
    .toString()
    .padStart(9, "0")
    .replace(/0{1,7}$/, "");
  return `${nanos < 0n ? "-" : ""}${absolute / NANOS_PER_DOLLAR}.${fraction}`;
}

function refuse(act: string, state: string): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot ${act}: ${state}`);
}
