/** The headers in which callers present a key; values as node:http gives them. */
export interface CallerHeaders {
  /** `Authorization: Bearer <key>`, as OpenAI's clients send it. */
  readonly authorization?: string | undefined;
  /** As Anthropic's clients send it. */
  readonly xApiKey?: string | undefined;
  /** As Azure's clients send it. */
  readonly apiKey?: string | undefined;
  /** The connection on which they came, where it serves one caller: a key that was proven on it is not hashed again. */
  readonly connection?: object | undefined;
}

const BEARER = /^bearer +/i;
/** No key is longer; what is longer is not even copied. */
const LENGTH_LIMIT = 1024;

/**
 * The key text that a caller presents, or nothing. The first header that is there counts, in the order above: a caller who
 * sends two different ones does not get to try both.
 */
export function findKeyText({ authorization, xApiKey, apiKey }: CallerHeaders): string | undefined {
  const text = authorization === undefined ? (xApiKey ?? apiKey) : fromBearer(authorization);
  return text === undefined || text === "" || text.length > LENGTH_LIMIT ? undefined : text;
}

function fromBearer(value: string): string | undefined {
  if (value.length > LENGTH_LIMIT) return undefined;
  // As nearly everybody writes it.
  if (value.startsWith("Bearer ") && value.charCodeAt(7) !== 0x20) return value.slice(7).trim();
  const scheme = BEARER.exec(value);
  return scheme === null ? undefined : value.slice(scheme[0].length).trim();
}
