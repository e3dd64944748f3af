/** What a limit says of one more call at an instant. */
export type LimitVerdict =
  | { readonly passed: true; readonly theoreticalMs: number }
  | { readonly passed: false; readonly retryAfterMs: number };

const MINUTE_MS = 60_000;
/** Parts of a millisecond to which a number holds an instant of this century exactly, so that sums of whole parts are exact. */
const PARTS = 2_048;

/**
 * Whether one more call passes a limit of `requestsPerMinute` (from 1) at `nowMs`, by the generic cell rate algorithm (ITU-T
 * I.371, Annex A.1, virtual scheduling). `theoreticalMs` is what it returned for the last call that passed; anything in the
 * past, such as 0, for the first. A caller that was silent for a minute may ask a whole minute's calls at once; in any minute
 * no more than twice the rate passes, over a longer time the rate: more by a 100,000th at most up to 1,200 a minute, by a hundredth up
 * to a million.
 */
export function checkLimit(requestsPerMinute: number, theoreticalMs: number, nowMs: number): LimitVerdict {
  // Never longer than it should be, or a minute would have no room for the last of its calls.
  const intervalMs = Math.floor((MINUTE_MS * PARTS) / requestsPerMinute) / PARTS;
  // A clock that was set back would else refuse for as long as it was set back.
  const known = theoreticalMs > nowMs + MINUTE_MS ? nowMs + MINUTE_MS : theoreticalMs;
  const nextMs = Math.max(known, nowMs) + intervalMs;
  const earlyMs = nextMs - nowMs - MINUTE_MS;
  return earlyMs <= 0 ? { passed: true, theoreticalMs: nextMs } : { passed: false, retryAfterMs: Math.ceil(earlyMs) };
}
