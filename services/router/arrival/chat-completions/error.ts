import { REASONS, type Reason } from "../../../shared/errors/reason.ts";
import type { WeirError } from "../../../shared/errors/weir-error.ts";
import { scrub } from "../../../shared/telemetry/scrub.ts";
import type { AnswerFailure } from "../call.ts";
import type { ComposedError } from "../caller-format.ts";
import { listErrorHeaders } from "../http-headers.ts";
import { findVerbatim } from "../verbatim.ts";

/** Codes that clients of OpenAI know, where a reason has one; else the code is the reason in lower case. */
const CODES: Partial<Readonly<Record<Reason, string>>> = {
  KEY_EXPIRED: "invalid_api_key",
  KEY_MALFORMED: "invalid_api_key",
  KEY_MISSING: "invalid_api_key",
  KEY_REVOKED: "invalid_api_key",
  KEY_UNKNOWN: "invalid_api_key",
  MODEL_UNKNOWN: "model_not_found",
  RATE_LIMITED: "rate_limit_exceeded",
  PROVIDER_RATE_LIMITED: "rate_limit_exceeded",
};

/** An error as chat completions and all of OpenAI have it (https://platform.openai.com/docs/guides/error-codes). */
interface OpenAiError {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

/**
 * Writes an error in place of an answer. What a provider of this format said to the caller goes on as it said it, but for what is shaped
 * like a secret; what one of another format said stands there in its own words.
 */
export function composeError(failure: AnswerFailure): ComposedError {
  const { error, said, status } = failure;
  const own = REASONS[error.reason].status;
  return {
    status: said !== undefined && status !== undefined && status >= 400 && status < 500 ? status : own,
    headers: listErrorHeaders(failure),
    body: findVerbatim(said?.body, isOpenAiError) ?? Buffer.from(JSON.stringify({ error: toOpenAiError(failure) })),
  };
}

/** Writes an error as the last event of a stream: clients raise an event that has a member `error`. `[DONE]` does not follow. */
export function composeStreamError(failure: AnswerFailure): Buffer {
  return Buffer.from(`data: ${JSON.stringify({ error: toOpenAiError(failure) })}\n\n`);
}

/** What a type of this format looks like. Google's and AWS's are in capitals: no client of OpenAI knows what to make of them. */
const OWN_TYPE = /^[a-z][a-z_]*$/;

/** The error itself, as each format of OpenAI has it. */
export function toOpenAiError({ error, said }: AnswerFailure): OpenAiError {
  const { type } = REASONS[error.reason];
  if (said === undefined) {
    return { message: error.message, type, param: findParam(error), code: toCode(error.reason) };
  }
  const isOwn = OWN_TYPE.test(said.type);
  return {
    message: said.message === "" ? error.message : scrub(said.message),
    type: isOwn ? said.type : type,
    param: said.param === "" ? null : said.param,
    code: said.code || (isOwn ? null : said.type || null),
  };
}

/** Servers that call themselves compatible put texts and lists where clients want this. */
function isOpenAiError({ error }: Record<string, unknown>): boolean {
  return typeof error === "object" && error !== null && typeof (error as Record<string, unknown>).message === "string";
}

function toCode(reason: Reason): string {
  return CODES[reason] ?? reason.toLowerCase();
}

function findParam({ reason, facts }: WeirError): string | null {
  return facts.field ?? (reason === "MODEL_UNKNOWN" || reason === "MODEL_NOT_ALLOWED" ? "model" : null);
}
