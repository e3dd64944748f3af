/**
 * The provider's headers that go on to callers: what says how the answer was made. Its rate limits are the operator's account,
 * its request id is not this call's, its cookies and all else are nobody's business.
 */
const RELAYED = ["openai-processing-ms", "openai-version", "openai-model"] as const;

/** Longest value that goes on. */
const LONGEST = 256;

/** Picks from a provider's headers those that go on to the caller. Values come from outside: printable ASCII only. */
export function pickAnswerHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): (readonly [string, string])[] {
  const picked: (readonly [string, string])[] = [];
  for (const name of RELAYED) {
    const value = headers[name];
    if (typeof value === "string" && value.length <= LONGEST && /^[\x20-\x7e]+$/.test(value))
      picked.push([name, value]);
  }
  return picked;
}
