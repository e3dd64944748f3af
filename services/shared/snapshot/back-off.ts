import { randomInt } from "node:crypto";

/** Longest pause between two tries, milliseconds: so long a router may take to come back. */
export const BACK_OFF_LIMIT_MS = 10_000;
const FIRST_MS = 200;

/**
 * How long to wait before the next try, after `failures` in a row (from 1): anything from 0 to 200 ms × 2^failures, at most
 * 10 s. Full jitter keeps a hundred routers that lost the same server from coming back all at once
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
 */
export function backOffMs(failures: number): number {
  const most = Math.min(BACK_OFF_LIMIT_MS, FIRST_MS * 2 ** Math.min(failures, 20));
  return randomInt(most + 1);
}
