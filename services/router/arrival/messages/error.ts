import { REASONS } from "../../../shared/errors/reason.ts";
import type { WeirError } from "../../../shared/errors/weir-error.ts";
import { scrub } from "../../../shared/telemetry/scrub.ts";
import type { AnswerFailure, AnswerHead } from "../call.ts";
import type { ComposedError } from "../caller-format.ts";
import { listErrorHeaders } from "../http-headers.ts";
import { findVerbatim } from "../verbatim.ts";

/** An error as this format has it (https://platform.claude.com/docs/en/api/errors). */
interface MessagesError {
  readonly type: "error";
  readonly error: {
    readonly type: string;
    readonly message: string;
    /** The stable name of the cause, which the SDK shows as `errorCode`. */
    readonly details: { readonly error_code: string };
  };
  readonly request_id: string;
}

/**
 * Writes an error in place of an answer. What a provider of this format said to the caller goes on as it said it, but for what is
 * shaped like a secret: clients look for its wording to learn which capability is not there. Status and type fit each other, whatever
 * Weir's reason is; where trying again may help and this router, not the provider, is the cause, that is 529 `overloaded_error`.
 */
export function composeError(failure: AnswerFailure, head: AnswerHead): ComposedError {
  const { said } = failure;
  const status = toStatus(failure);
  return {
    status,
    headers: listErrorHeaders(failure),
    body: findVerbatim(said?.body, isMessagesError) ?? Buffer.from(JSON.stringify(toError(failure, status, head))),
  };
}

/** Writes an error as the last event of a stream. Clients raise it because it is called `error`; `message_stop` does not follow. */
export function composeStreamError(failure: AnswerFailure, head: AnswerHead): Buffer {
  return Buffer.from(`event: error\ndata: ${JSON.stringify(toError(failure, toStatus(failure), head))}\n\n`);
}

const OVERLOADED = 529;

function toStatus({ error, said, status }: AnswerFailure): number {
  if (said !== undefined && status !== undefined && status >= 400 && status < 500) return status;
  const { status: own, retry } = REASONS[error.reason];
  if (own === 503) return retry ? OVERLOADED : 500;
  // The provider's own, so that clients know to wait rather than to repeat at once.
  return own === 502 && status === OVERLOADED ? OVERLOADED : own;
}

const TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  529: "overloaded_error",
};

function toError({ error, said }: AnswerFailure, status: number, { eventId }: AnswerHead): MessagesError {
  return {
    type: "error",
    error: {
      type: TYPES[status] ?? (status >= 500 ? "api_error" : "invalid_request_error"),
      message: said === undefined || said.message === "" ? error.message : scrub(said.message),
      details: { error_code: said === undefined || said.code === "" ? toCode(error) : said.code },
    },
    request_id: eventId,
  };
}

/** The code of Anthropic's where clients act on one; else the reason. */
function toCode({ reason, facts }: WeirError): string {
  if (facts.field === 'extras["thread"]') return "thread_unsupported_request";
  return facts.error_code ?? reason.toLowerCase();
}

function isMessagesError({ type, error }: Record<string, unknown>): boolean {
  return type === "error" && typeof error === "object" && error !== null;
}
