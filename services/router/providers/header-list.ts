import type { HeaderList } from "./dialect.ts";

/** Never go up or down, whatever a list says: credentials, cookies, what chooses or names an account, what is about one hop, and what the router itself writes. */
const NEVER =
  /^(authorization|proxy-.*|x-api-key|api-key|x-goog-api-key|x-amz-.*|cookie|set-cookie|connection|keep-alive|te|trailer|transfer-encoding|upgrade|host|content-.*|accept.*|expect|user-agent|forwarded|x-forwarded-.*|x-request-id|x-weir-.*|anthropic-(organization|workspace)-id|via)$/;

/** Whether a header, its name in lower case, is on a list. */
export function isListed(name: string, { names, prefixes }: HeaderList): boolean {
  if (!names.includes(name) && !prefixes.some((prefix) => name.startsWith(prefix))) return false;
  return !NEVER.test(name);
}
