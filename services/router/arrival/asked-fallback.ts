import type { IncomingHttpHeaders } from "node:http";
import { invalid } from "./invalid.ts";

/** The header by which a caller wants no other target asked than the first, as RPCs have it in their metadata. */
export const FALLBACK_HEADER = "x-weir-fallback";

/**
 * Reads whether a caller wants a failure rather than another target's answer: `none`. Undefined when it does not say, or says
 * `allowed`. Throws ARGUMENT_INVALID for any other value, since a misspelt wish must not be no wish.
 */
export function readAskedFallback(headers: IncomingHttpHeaders): "none" | undefined {
  const value = headers[FALLBACK_HEADER];
  if (value === undefined || value === "allowed") return undefined;
  if (value === "none") return "none";
  throw invalid(FALLBACK_HEADER, 'must be "none" or "allowed"');
}
