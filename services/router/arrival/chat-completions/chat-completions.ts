import type { CallerFormat } from "../caller-format.ts";
import { composeError, composeStreamError } from "./error.ts";
import { composeAnswer } from "./write-answer.ts";
import { ChatCompletionsWriter } from "./write-stream.ts";

/** Chat completions as callers write and read them (https://platform.openai.com/docs/api-reference/chat). */
export const chatCompletions: CallerFormat = {
  format: "chat-completions",
  composeAnswer,
  createStreamWriter: (facts) => new ChatCompletionsWriter(facts),
  composeError,
  composeStreamError,
  // A comment (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
  keepAlive: Buffer.from(": keep-alive\n\n"),
  listHeaders: () => NONE,
  requestHeaders: { names: ["openai-beta"], prefixes: [] },
};

const NONE: string[] = [];
