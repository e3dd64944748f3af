import type { CallerFormat } from "../caller-format.ts";
import { messages } from "./messages.ts";

/**
 * Token counting as callers write and read it (https://platform.claude.com/docs/en/api/messages/count_tokens). It is relayed, or answered
 * by the router itself; nobody else's answer is ever written in it, and nothing is streamed.
 */
export const countTokens: CallerFormat = {
  ...messages,
  format: "count-tokens",
  composeAnswer: (_answer, _usage, { inputTokens }) => Buffer.from(JSON.stringify({ input_tokens: inputTokens })),
  createStreamWriter: () => {
    throw new Error("Cannot stream a count of tokens: it comes in one piece");
  },
};
