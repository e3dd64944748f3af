import type { ProviderFailure, RefusedAnswer } from "../dialect.ts";
import { LONGEST_WAIT_MS, readRetryAfter } from "../retry-after.ts";
import { toServerFailure } from "../server-error.ts";
import { toList, toObject } from "../shape.ts";

/** Longest text of a provider that goes on to a caller, in characters. */
const LONGEST_TEXT = 4096;

/** What an error of Google's APIs says (https://google.aip.dev/193): `{"error":{"code","message","status","details"}}`. */
interface Statement {
  readonly code: number;
  readonly message: string;
  readonly status: string;
  /** Reason of its ErrorInfo. */
  readonly reason: string;
  /** First field of its BadRequest. */
  readonly field: string;
  /** Wait of its RetryInfo. */
  readonly retryAfterMs: number | undefined;
}

/**
 * Says what a status that is no 200 means (https://ai.google.dev/gemini-api/docs/troubleshooting). A request that the provider
 * finds wrong would be wrong elsewhere too, and its words go to the caller. All else is between the provider and the operator:
 * another target is tried and the words stay here. A credential that is refused comes with status 400, as does an account that
 * may not call from where the router is.
 */
export function readRefusal(refusal: RefusedAnswer): ProviderFailure {
  const { status, headers, body, nowMs } = refusal;
  const said = findStatement(body);
  if (status === 429 || said?.status === "RESOURCE_EXHAUSTED") {
    return toRateLimited(said?.retryAfterMs ?? readRetryAfter(headers, nowMs));
  }
  if (status === 408 || status === 504) {
    return { reason: "PROVIDER_TIMEOUT", state: "the provider timed out", elsewhere: true };
  }
  if (status === 401 || status === 403 || (said !== undefined && isAboutKey(said))) {
    return failed("the provider refuses this router's credential", "credential");
  }
  if (status === 404) {
    // "models/NAME is not found …" is how it says so; anything else may be about something that the caller named.
    return failed("the provider lacks the model", said?.message.startsWith("models/") ? "model" : "caller");
  }
  if (said?.status === "FAILED_PRECONDITION") {
    return failed("the provider does not serve this router's account", "credential");
  }
  if (status >= 400 && status < 500) {
    const state = said?.message || `the provider refuses the request with status ${status}`;
    const { message, code, field } = { message: state, code: said?.status ?? "", field: said?.field ?? "" };
    return {
      reason: "PROVIDER_REFUSED",
      state,
      elsewhere: false,
      ...(said && { said: { message, type: "invalid_request_error", code, param: field } }),
    };
  }
  return toServerFailure(refusal);
}

/** Says what an error object within an answer of status 200 means, in one piece or as an event of a stream. */
export function toStatedFailure(error: unknown): ProviderFailure {
  const { code, status, retryAfterMs } = toStatement(error);
  if (code === 429 || status === "RESOURCE_EXHAUSTED") return toRateLimited(retryAfterMs);
  if (code === 504 || status === "DEADLINE_EXCEEDED") {
    return { reason: "PROVIDER_TIMEOUT", state: "the provider timed out", elsewhere: true };
  }
  return { reason: "PROVIDER_FAILED", state: "the provider reported an error", elsewhere: true };
}

function failed(state: string, fault: ProviderFailure["fault"] & string): ProviderFailure {
  return { reason: "PROVIDER_FAILED", state, elsewhere: true, fault };
}

function toRateLimited(retryAfterMs: number | undefined): ProviderFailure {
  return {
    reason: "PROVIDER_RATE_LIMITED",
    state: "the provider's rate limit is reached",
    elsewhere: true,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** A bad key is INVALID_ARGUMENT, which is about the operator and not about the caller's request. */
function isAboutKey({ reason, message }: Statement): boolean {
  return reason.startsWith("API_KEY_") || message.startsWith("API key ");
}

function findStatement(body: Buffer): Statement | undefined {
  // The body comes from the provider: it may be anything, at any length that was read.
  try {
    const said = JSON.parse(body.toString("utf8")) as unknown;
    // What was asked for as a stream may be refused in a list of one.
    const { error } = toObject(Array.isArray(said) ? said[0] : said);
    return error === undefined || error === null ? undefined : toStatement(error);
  } catch {
    return undefined;
  }
}

function toStatement(error: unknown): Statement {
  const { code, message, status, details } = toObject(error);
  const typed = toList(details).map(toObject);
  const ofType = (name: string) => typed.find((detail) => detail["@type"] === `type.googleapis.com/google.rpc.${name}`);
  return {
    code: typeof code === "number" ? code : 0,
    message: toShort(message),
    status: toShort(status),
    reason: toShort(ofType("ErrorInfo")?.reason),
    field: toShort(toObject(toList(ofType("BadRequest")?.fieldViolations)[0]).field),
    retryAfterMs: readDuration(ofType("RetryInfo")?.retryDelay),
  };
}

function toShort(value: unknown): string {
  return typeof value === "string" ? value.slice(0, LONGEST_TEXT) : "";
}

/** Reads a duration as protobuf writes it in JSON, such as "34.074s". */
function readDuration(value: unknown): number | undefined {
  const seconds = typeof value === "string" ? /^(\d{1,9}(?:\.\d{1,9})?)s$/.exec(value)?.[1] : undefined;
  return seconds === undefined ? undefined : Math.min(Math.ceil(Number(seconds) * 1000), LONGEST_WAIT_MS);
}
