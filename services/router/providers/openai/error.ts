import type { ProviderFailure, RefusedAnswer } from "../dialect.ts";
import { readRetryAfter } from "../retry-after.ts";
import { toServerFailure } from "../server-error.ts";

/** Longest text of a provider that goes on to a caller, in characters. */
const LONGEST_TEXT = 4096;

/** A request beyond the whole limit of a minute: no rate, and no reason to leave others waiting. */
const TOO_LARGE = /^Request too large/i;
/** What OpenAI and Azure say of a model, or deployment, that is not there. */
const MODEL_CODES: ReadonlySet<string> = new Set(["model_not_found", "DeploymentNotFound"]);

/**
 * Says what a status that is no 200 means (https://platform.openai.com/docs/guides/error-codes). A request that the
 * provider finds wrong would be wrong elsewhere too, and its words go to the caller, for a caller of the same format as the very
 * body. All else is between the provider and the operator (an account out of money, a refused credential, a model that is not
 * there): another target is tried and the words stay here, for they may quote the operator's credential.
 */
export function readRefusal(refusal: RefusedAnswer): ProviderFailure {
  const { status, headers, body, nowMs } = refusal;
  const said = findStatement(body);
  if (status === 429) {
    if (said?.code === "insufficient_quota" || said?.type === "insufficient_quota") {
      return { reason: "PROVIDER_FAILED", state: "the provider's quota is used up", elsewhere: true, fault: "quota" };
    }
    const retryAfterMs = readRetryAfter(headers, nowMs);
    return {
      reason: "PROVIDER_RATE_LIMITED",
      state: "the provider's rate limit is reached",
      elsewhere: true,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(said !== undefined && TOO_LARGE.test(said.message) && { fault: "caller" }),
    };
  }
  if (status === 408) return { reason: "PROVIDER_TIMEOUT", state: "the provider timed out", elsewhere: true };
  if (status === 401 || status === 403) {
    const state = "the provider refuses this router's credential";
    return { reason: "PROVIDER_FAILED", state, elsewhere: true, fault: "credential" };
  }
  if (status === 404) {
    // Without such a code it may be about something that the caller named, such as a file.
    const fault = MODEL_CODES.has(said?.code ?? "") ? "model" : "caller";
    return { reason: "PROVIDER_FAILED", state: "the provider lacks the model", elsewhere: true, fault };
  }
  if (status >= 400 && status < 500) {
    return {
      reason: "PROVIDER_REFUSED",
      state: said?.message || `the provider refuses the request with status ${status}`,
      elsewhere: false,
      ...(said && { said: { ...said, body } }),
    };
  }
  return toServerFailure(refusal);
}

/** Says what an error object within an answer of status 200 means, in one piece or as an event of a stream. */
export function toStatedFailure(error: unknown): ProviderFailure {
  const { code, type } = toStatement(error);
  if (code === "rate_limit_exceeded" || type === "rate_limit_error") {
    return { reason: "PROVIDER_RATE_LIMITED", state: "the provider's rate limit is reached", elsewhere: true };
  }
  return { reason: "PROVIDER_FAILED", state: "the provider reported an error", elsewhere: true };
}

function findStatement(body: Buffer): ProviderFailure["said"] {
  // The body comes from the provider: it may be anything, at any length that was read.
  try {
    const { error } = JSON.parse(body.toString("utf8")) as { error?: unknown };
    return error === undefined || error === null ? undefined : toStatement(error);
  } catch {
    return undefined;
  }
}

function toStatement(error: unknown): NonNullable<ProviderFailure["said"]> {
  if (typeof error !== "object" || error === null) return { message: toText(error), type: "", code: "", param: "" };
  const { message, type, code, param } = error as Record<string, unknown>;
  return { message: toText(message), type: toText(type), code: toText(code), param: toText(param) };
}

function toText(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value).slice(0, LONGEST_TEXT) : "";
}
