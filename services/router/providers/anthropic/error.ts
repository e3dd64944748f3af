import type { ProviderFailure, RefusedAnswer } from "../dialect.ts";
import { readRetryAfter } from "../retry-after.ts";
import { toServerFailure } from "../server-error.ts";
import { toObject } from "../shape.ts";

/** Longest text of a provider that goes on to a caller, in characters. */
const LONGEST_TEXT = 4096;

/** What an error says: `{"type":"error","error":{"type","message","details"},"request_id"}`. */
interface Statement {
  readonly type: string;
  readonly message: string;
  /** The stable code of its details; empty when it has none. */
  readonly code: string;
}

/**
 * Says what a status that is no 200 means (https://platform.claude.com/docs/en/api/errors). A request that the provider finds wrong
 * would be wrong elsewhere too, and its words go to the caller, for a caller of the same format as the very body: clients look for its
 * wording to learn which capability is not there. All else is between the provider and the operator (an account out of money, which
 * comes with status 400, a refused credential, a model that is not there): another target is tried and the words stay here.
 */
export function readRefusal(refusal: RefusedAnswer): ProviderFailure {
  const { status, headers, body, nowMs } = refusal;
  const said = findStatement(body);
  if (status === 402 || (said !== undefined && isAboutMoney(said))) {
    return failed("the provider's quota is used up", "quota");
  }
  if (status === 429) return toRateLimited(readRetryAfter(headers, nowMs));
  if (status === 529) return toServerFailure(refusal, OVERLOADED);
  if (status === 408 || status === 504) return TIMED_OUT;
  if (status === 401 || status === 403) {
    return failed("the provider refuses this router's credential", "credential");
  }
  if (status === 404 && (said === undefined || !isAboutHeld(said))) {
    // "model: NAME" is how it says so; anything else may be about something that the caller named.
    return failed("the provider lacks the model", said?.message.startsWith("model:") ? "model" : "caller");
  }
  if (status >= 400 && status < 500) {
    const state = said?.message || `the provider refuses the request with status ${status}`;
    return {
      reason: "PROVIDER_REFUSED",
      state,
      elsewhere: false,
      ...(said && { said: { message: state, type: said.type, code: said.code, param: "", body } }),
    };
  }
  return toServerFailure(refusal);
}

/** Says what an error object within an answer of status 200 means, in one piece or as an event of a stream. */
export function toStatedFailure(error: unknown): ProviderFailure {
  const { type } = toStatement(error);
  if (type === "rate_limit_error") return toRateLimited(undefined);
  if (type === "overloaded_error") return failed(OVERLOADED, "overloaded");
  if (type === "timeout_error") return TIMED_OUT;
  return failed("the provider reported an error");
}

const TIMED_OUT: ProviderFailure = {
  reason: "PROVIDER_TIMEOUT",
  state: "the provider timed out",
  elsewhere: true,
};

const OVERLOADED = "the provider is overloaded";

function failed(state: string, fault?: ProviderFailure["fault"]): ProviderFailure {
  return { reason: "PROVIDER_FAILED", state, elsewhere: true, ...(fault !== undefined && { fault }) };
}

function toRateLimited(retryAfterMs: number | undefined): ProviderFailure {
  return {
    reason: "PROVIDER_RATE_LIMITED",
    state: "the provider's rate limit is reached",
    elsewhere: true,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** An account without credit is an invalid request to Anthropic; one at its spend limit a rate limit with a code of its own. */
function isAboutMoney({ type, message, code }: Statement): boolean {
  return (
    type === "billing_error" || /^Your credit balance is too low/i.test(message) || /spend|credit|billing/.test(code)
  );
}

/**
 * What the caller says that the provider holds: a thread, a file, a container. Clients recover from a thread that is not found by
 * sending the whole conversation, so they must hear of it.
 */
function isAboutHeld({ message, code }: Statement): boolean {
  return (
    (code !== "" && !code.startsWith("model")) || /\b(thread|file|container|skill|previous_message_id)\b/i.test(message)
  );
}

function findStatement(body: Buffer): Statement | undefined {
  // The body comes from the provider: it may be anything, at any length that was read.
  try {
    const { error } = toObject(JSON.parse(body.toString("utf8")));
    return error === undefined || error === null ? undefined : toStatement(error);
  } catch {
    return undefined;
  }
}

function toStatement(error: unknown): Statement {
  const { type, message, details } = toObject(error);
  return { type: cut(type), message: cut(message), code: cut(toObject(details).error_code) };
}

function cut(value: unknown): string {
  return typeof value === "string" ? value.slice(0, LONGEST_TEXT) : "";
}
