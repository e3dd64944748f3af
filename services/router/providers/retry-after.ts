import type { RefusedAnswer } from "./dialect.ts";

/** Longest wait that a caller is told, in milliseconds. */
export const LONGEST_WAIT_MS = 3_600_000;

/** A count, of seconds or milliseconds. */
const COUNT = /^\d{1,9}(\.\d{1,9})?$/;
/** A date begins with the name of its day; a number that is none of the above would be read as a year. */
const DATE = /^[A-Za-z]{3}/;

/**
 * Reads how long a provider asks to be left alone: `retry-after-ms`, or `retry-after` as seconds or as a date (RFC 9110, section
 * 10.2.3). In milliseconds, from 0 to {@link LONGEST_WAIT_MS}; undefined when it does not say, or nothing that makes sense.
 */
export function readRetryAfter(headers: RefusedAnswer["headers"], nowMs: number): number | undefined {
  const milliseconds = headers["retry-after-ms"];
  if (typeof milliseconds === "string" && COUNT.test(milliseconds)) return toWait(Number(milliseconds));
  const given = headers["retry-after"];
  if (typeof given !== "string") return undefined;
  if (COUNT.test(given)) return toWait(Number(given) * 1000);
  return DATE.test(given) ? toWait(Date.parse(given) - nowMs) : undefined;
}

function toWait(milliseconds: number): number | undefined {
  return Number.isFinite(milliseconds) ? Math.min(Math.max(0, Math.ceil(milliseconds)), LONGEST_WAIT_MS) : undefined;
}
