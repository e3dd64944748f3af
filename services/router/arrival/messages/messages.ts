import type { AnswerHead } from "../call.ts";
import type { CallerFormat } from "../caller-format.ts";
import { composeError, composeStreamError } from "./error.ts";
import { composeAnswer } from "./write-answer.ts";
import { MessagesWriter } from "./write-stream.ts";

/** Messages as callers write and read them (https://platform.claude.com/docs/en/api/messages). */
export const messages: CallerFormat = {
  format: "messages",
  composeAnswer,
  createStreamWriter: (facts) => new MessagesWriter(facts),
  composeError,
  composeStreamError,
  keepAlive: Buffer.from('event: ping\ndata: {"type": "ping"}\n\n'),
  listHeaders,
  // Open lists: a beta travels with fields of the body that nobody here knows (https://code.claude.com/docs/en/llm-gateway-protocol).
  requestHeaders: { names: [], prefixes: ["anthropic-", "x-claude-code-"] },
};

/** Where clients of Anthropic look for the id. */
export function listHeaders({ eventId }: AnswerHead): string[] {
  return ["request-id", eventId];
}
