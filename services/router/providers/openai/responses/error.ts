import type { ProviderFailure, RefusedAnswer } from "../../dialect.ts";
import { toObject, toText } from "../../shape.ts";
import { readRefusal as readOpenAiRefusal } from "../error.ts";

/** Longest text of a provider that goes on to a caller, in characters. */
const LONGEST_TEXT = 4096;

/** Codes of `response.error` that are about what the caller sent: it would be wrong elsewhere too. */
const REQUEST_CODES =
  /^(invalid_|image_|unsupported_image_media_type$|empty_image_file$|failed_to_download_image$|bio_policy$)/;

/**
 * Says what a status that is no 200 means. As with chat completions, but for one: an earlier answer, a conversation or a prompt
 * that the account does not hold is the caller's affair, not a model that is missing.
 */
export function readRefusal(refusal: RefusedAnswer): ProviderFailure {
  if (refusal.status !== 404) return readOpenAiRefusal(refusal);
  const asCallers = readOpenAiRefusal({ ...refusal, status: 400 });
  const { param = "", code = "" } = asCallers.said ?? {};
  const isStateMissing = code === "previous_response_not_found" || STATE_PARAMS.has(param);
  return isStateMissing ? asCallers : readOpenAiRefusal(refusal);
}

const STATE_PARAMS = new Set(["previous_response_id", "conversation", "prompt"]);

/**
 * Says what an error within an answer of status 200 means: `response.error`, or the event `error` of a stream
 * (https://platform.openai.com/docs/api-reference/responses-streaming/error), whose members stand there by themselves or,
 * as the provider itself sends them, within a further `error`.
 */
export function toStatedFailure(error: unknown): ProviderFailure {
  const outer = toObject(error);
  const stated = typeof outer.error === "object" && outer.error !== null ? toObject(outer.error) : outer;
  const code = toText(stated.code);
  const type = toText(stated.type);
  if (code === "rate_limit_exceeded" || type === "rate_limit_error") {
    return { reason: "PROVIDER_RATE_LIMITED", state: "the provider's rate limit is reached", elsewhere: true };
  }
  if (REQUEST_CODES.test(code) || type === "invalid_request_error") {
    const message = toText(stated.message).slice(0, LONGEST_TEXT);
    const param = toText(stated.param).slice(0, LONGEST_TEXT);
    return {
      reason: "PROVIDER_REFUSED",
      state: message === "" ? "the provider refuses the request" : message,
      elsewhere: false,
      said: { message, type: "invalid_request_error", code: code.slice(0, LONGEST_TEXT), param },
    };
  }
  return { reason: "PROVIDER_FAILED", state: "the provider reported an error", elsewhere: true };
}
