/** More tokens than any call can have used; a provider that says more says nothing. */
const MOST_TOKENS = 1_000_000_000;

/** Whether a number that a provider says can be a count of tokens: whole, from 0 to a billion. What is none becomes no bill. */
export function isTokenCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MOST_TOKENS;
}
