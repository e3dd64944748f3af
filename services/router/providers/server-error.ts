import type { ProviderFailure, RefusedAnswer } from "./dialect.ts";
import { readRetryAfter } from "./retry-after.ts";

/** A status of Anthropic's that others took over: more is asked than it can do. */
const OVERLOADED = 529;
const UNAVAILABLE = 503;

/**
 * Says what a status that is not about the request means, such as a 5xx or a redirect. A server that is overloaded (529, or 503
 * with the time to come back) is not sick; `state` is what there is to say of it beside the status.
 */
export function toServerFailure(
  { status, headers, nowMs }: Omit<RefusedAnswer, "body">,
  state = `the provider answered with status ${status}`,
): ProviderFailure {
  const failure = { reason: "PROVIDER_FAILED", state, elsewhere: true } as const;
  const retryAfterMs = status === UNAVAILABLE || status === OVERLOADED ? readRetryAfter(headers, nowMs) : undefined;
  if (retryAfterMs !== undefined) return { ...failure, fault: "overloaded", retryAfterMs };
  return status === OVERLOADED ? { ...failure, fault: "overloaded" } : failure;
}
