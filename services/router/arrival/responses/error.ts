import type { AnswerFailure } from "../call.ts";
import { toOpenAiError } from "../chat-completions/error.ts";

/**
 * More than any event of a stream can have as its number: whoever writes the error does not know how many the provider has sent,
 * and a client that drops what does not rise must not drop this. Fits 32 bits.
 */
const LAST_NUMBER = 2_147_483_647;

/**
 * Writes an error as the last event of a stream: `error`
 * (https://platform.openai.com/docs/api-reference/responses-streaming/error). Clients raise it, which they do not with
 * `response.failed`. Its members stand there both by themselves, as the reference has them, and within `error`, as OpenAI sends them.
 */
export function composeStreamError(failure: AnswerFailure): Buffer {
  const error = toOpenAiError(failure);
  const { code, message, param } = error;
  const event = { type: "error", sequence_number: LAST_NUMBER, code, message, param, error };
  return Buffer.from(`event: error\ndata: ${JSON.stringify(event)}\n\n`);
}
