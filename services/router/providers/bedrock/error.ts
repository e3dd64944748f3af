import type { ProviderFailure, RefusedAnswer } from "../dialect.ts";
import { readRetryAfter } from "../retry-after.ts";
import { toServerFailure } from "../server-error.ts";
import { toText } from "../shape.ts";
import { readPayload } from "./read-payload.ts";

/** Longest text of a provider that goes on to a caller, in characters. */
const LONGEST_TEXT = 4096;

const RATE_LIMITED: ProviderFailure = {
  reason: "PROVIDER_RATE_LIMITED",
  state: "the provider's rate limit is reached",
  elsewhere: true,
};
const TIMED_OUT: ProviderFailure = { reason: "PROVIDER_TIMEOUT", state: "the provider timed out", elsewhere: true };
const CREDENTIAL_REFUSED = failed("the provider refuses this router's credential", "credential");
const MODEL_LACKING = failed("the provider lacks the model", "model");
const UNAVAILABLE = failed("the provider is not available");

/**
 * Errors by their type in lower case, without "exception" at its end. Those of Bedrock:
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html#API_runtime_ConverseStream_Errors; those
 * of all services: https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html.
 */
const FAILURES: ReadonlyMap<string, ProviderFailure> = new Map([
  ["throttling", RATE_LIMITED],
  ["toomanyrequests", RATE_LIMITED],
  ["requestlimitexceeded", RATE_LIMITED],
  ["servicequotaexceeded", failed("the provider's quota is used up", "quota")],
  ["accessdenied", CREDENTIAL_REFUSED],
  ["expiredtoken", CREDENTIAL_REFUSED],
  ["incompletesignature", CREDENTIAL_REFUSED],
  ["invalidclienttokenid", CREDENTIAL_REFUSED],
  ["invalidsignature", CREDENTIAL_REFUSED],
  ["missingauthenticationtoken", CREDENTIAL_REFUSED],
  ["notauthorized", CREDENTIAL_REFUSED],
  ["optinrequired", CREDENTIAL_REFUSED],
  ["requestexpired", CREDENTIAL_REFUSED],
  ["signaturedoesnotmatch", CREDENTIAL_REFUSED],
  ["unrecognizedclient", CREDENTIAL_REFUSED],
  ["resourcenotfound", MODEL_LACKING],
  ["unknownoperation", MODEL_LACKING],
  ["modeltimeout", TIMED_OUT],
  ["modelnotready", failed("the provider's model is not ready")],
  ["modelerror", failed("the provider's model failed")],
  ["modelstreamerror", failed("the provider's model failed")],
  ["internalserver", failed("the provider reported an error")],
  ["internalfailure", failed("the provider reported an error")],
  ["serviceunavailable", UNAVAILABLE],
]);

/** Bedrock calls it the request's fault when the policy names a model that it can't be asked for. */
const MODEL_AT_FAULT =
  /model identifier is invalid|on-demand throughput isn.t supported|end of its life|model ID .{1,256} not/i;

/**
 * Says what a status that is no 200 means. The type of the error counts more than the status, which differs by service. A request
 * that the provider finds wrong would be wrong elsewhere too, and its words go to the caller; all else is between the provider and
 * the operator: another target is tried, and the words, which may name the operator's account, stay here.
 */
export function readRefusal(refusal: RefusedAnswer): ProviderFailure {
  const { headers, body, nowMs } = refusal;
  const said = readPayload(body) ?? {};
  const header = headers["x-amzn-errortype"];
  const type = (typeof header === "string" && header) || toText(said.__type) || toText(said.code);
  const message = toText(said.message) || toText(said.Message);
  const failure = findFailure(type, message) ?? toFailure(refusal, type, message);
  if (failure === UNAVAILABLE) return toServerFailure(refusal, failure.state);
  if (failure !== RATE_LIMITED) return failure;
  const retryAfterMs = readRetryAfter(headers, nowMs);
  return { ...failure, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/** What a status means whose type of error is not known. */
function toFailure(refusal: RefusedAnswer, type: string, message: string): ProviderFailure {
  const { status } = refusal;
  if (status === 429) return RATE_LIMITED;
  if (status === 408) return TIMED_OUT;
  if (status === 401 || status === 403) return CREDENTIAL_REFUSED;
  if (status === 404) return { ...MODEL_LACKING, fault: "caller" };
  if (status >= 400 && status < 500) {
    return refused(type, message, `the provider refuses the request with status ${status}`);
  }
  return toServerFailure(refusal);
}

/** Says what an exception or error within a stream means. */
export function readStreamError(type: string, payload: Buffer): ProviderFailure {
  const { message } = readPayload(payload) ?? {};
  return findFailure(type, toText(message)) ?? failed("the provider reported an error");
}

function findFailure(type: string, message: string): ProviderFailure | undefined {
  const name = toName(type).toLowerCase();
  if (name === "validationexception" || name === "validationerror") {
    return MODEL_AT_FAULT.test(message) ? MODEL_LACKING : refused(type, message, "the provider refuses the request");
  }
  return FAILURES.get(name.replace(/exception$/, ""));
}

/** The bare name: what comes may be `com.amazon.coral.service#Name` or `Name:http://…`. */
function toName(type: string): string {
  const [name = ""] = type.split(":", 1);
  return name.slice(name.lastIndexOf("#") + 1);
}

function refused(type: string, message: string, otherwise: string): ProviderFailure {
  const text = message.slice(0, LONGEST_TEXT);
  return {
    reason: "PROVIDER_REFUSED",
    state: text === "" ? otherwise : text,
    elsewhere: false,
    said: { message: text, type: toName(type).slice(0, LONGEST_TEXT), code: "", param: "" },
  };
}

function failed(state: string, fault?: ProviderFailure["fault"]): ProviderFailure {
  return { reason: "PROVIDER_FAILED", state, elsewhere: true, ...(fault !== undefined && { fault }) };
}
