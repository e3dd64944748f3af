import type { Dialect, HeaderList } from "../providers/dialect.ts";
import { isListed } from "../providers/header-list.ts";

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** What stands before the name of a provider's header that tells its rate limits: they are the operator's, not the caller's. */
const LIMIT_PREFIX = "x-weir-provider-";
/** Longest value that goes on. */
const LONGEST = 256;

/**
 * Picks from a provider's headers those that go on to the caller: what says how the answer was made, where the answer goes on as it came,
 * and the provider's rate limits under a name of their own. Its request id is not this call's, its cookies and all else are
 * nobody's business. Values come from outside: printable ASCII only.
 */
export function pickAnswerHeaders(
  headers: Headers,
  { answerHeaders, limitHeaders }: Pick<Dialect, "answerHeaders" | "limitHeaders">,
  kind: "relay" | "typed",
): (readonly [string, string])[] {
  const picked: (readonly [string, string])[] = [];
  if (kind === "relay" && answerHeaders !== undefined) takeListed(picked, headers, answerHeaders, "");
  if (limitHeaders !== undefined) takeListed(picked, headers, limitHeaders, LIMIT_PREFIX);
  return picked;
}

function takeListed(picked: (readonly [string, string])[], headers: Headers, list: HeaderList, prefix: string): void {
  // Most lists are of names: looking them up is less than looking at all that came.
  if (list.prefixes.length === 0) {
    for (const name of list.names) take(picked, prefix + name, headers[name]);
    return;
  }
  for (const name in headers) if (isListed(name, list)) take(picked, prefix + name, headers[name]);
}

function take(picked: (readonly [string, string])[], name: string, value: string | string[] | undefined): void {
  if (typeof value === "string" && value.length <= LONGEST && /^[\x20-\x7e]+$/.test(value)) picked.push([name, value]);
}
