import type { CallerFormat } from "../caller-format.ts";
import { composeError } from "../chat-completions/error.ts";
import { composeStreamError } from "./error.ts";
import { composeAnswer } from "./write-answer.ts";
import { ResponsesStreamWriter } from "./write-stream.ts";

/** Responses as callers write and read them (https://platform.openai.com/docs/api-reference/responses). */
export const responses: CallerFormat = {
  format: "responses",
  composeAnswer,
  createStreamWriter: (facts) => new ResponsesStreamWriter(facts),
  composeError,
  composeStreamError,
  // A comment (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
  keepAlive: Buffer.from(": keep-alive\n\n"),
  listHeaders: () => NONE,
  requestHeaders: { names: ["openai-beta"], prefixes: [] },
};

const NONE: string[] = [];
