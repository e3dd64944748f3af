import type { RefusedAnswer } from "./dialect.ts";

/** Longest wait that a caller is told, in milliseconds. */
export const LONGEST_WAIT_MS = 3_600_000;

/**
 * Reads how long a provider asks to be left alone: `retry-after-ms`, or `retry-after` as seconds or as a date (RFC 9110, section
 * 10.2.3). In milliseconds, from 0 to {@link LONGEST_WAIT_MS}; undefined when it does not say, or nothing that makes sense.
 */
export function readRetryAfter(headers: RefusedAnswer["headers"], nowMs: number): number | undefined {
  const milliseconds = toWait(Number(headers["retry-after-ms"]));
  if (headers["retry-after-ms"] !== undefined && milliseconds !== undefined) return milliseconds;
  const given = headers["retry-after"];
  if (typeof given !== "string") return undefined;
  return /^\d{1,9}(\.\d{1,9})?$/.test(given) ? toWait(Number(given) * 1000) : toWait(Date.parse(given) - nowMs);
}

function toWait(milliseconds: number): number | undefined {
  return Number.isFinite(milliseconds) ? Math.min(Math.max(0, Math.ceil(milliseconds)), LONGEST_WAIT_MS) : undefined;
}
