import { REASONS, type Reason } from "../../shared/errors/reason.ts";
import type { WeirError } from "../../shared/errors/weir-error.ts";
import type { AnswerFailure } from "./call.ts";

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

/** An error as the OpenAI dialect has it (https://platform.openai.com/docs/guides/error-codes). */
export interface OpenAiError {
  readonly status: number;
  /** Beside those of every answer. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly error: {
      readonly message: string;
      readonly type: string;
      readonly param: string | null;
      readonly code: string | null;
    };
  };
}

/**
 * Writes an error in the OpenAI dialect. What a provider said to the caller stands in its own words; the reason is in
 * `x-weir-reason`. The SDKs repeat on 408, 409, 429 and 5xx, so a refusal that stays one says `x-should-retry: false`.
 */
export function toOpenAiError({ error, said, status }: AnswerFailure): OpenAiError {
  const facts = REASONS[error.reason];
  const headers: Record<string, string> = { "x-weir-reason": error.reason };
  if (!facts.retry) headers["x-should-retry"] = "false";
  if (error.retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.max(1, Math.ceil(error.retryAfterMs / 1000)));
    headers["retry-after-ms"] = String(Math.ceil(error.retryAfterMs));
  }
  if (said !== undefined) {
    return {
      status: status !== undefined && status >= 400 && status < 500 ? status : facts.status,
      headers,
      body: {
        error: {
          message: said.message === "" ? error.message : said.message,
          type: said.type === "" ? facts.type : said.type,
          param: said.param === "" ? null : said.param,
          code: said.code === "" ? null : said.code,
        },
      },
    };
  }
  return {
    status: facts.status,
    headers,
    body: {
      error: { message: error.message, type: facts.type, param: findParam(error), code: toCode(error.reason) },
    },
  };
}

function toCode(reason: Reason): string {
  return CODES[reason] ?? reason.toLowerCase();
}

function findParam({ reason, facts }: WeirError): string | null {
  return facts.field ?? (reason === "MODEL_UNKNOWN" || reason === "MODEL_NOT_ALLOWED" ? "model" : null);
}
