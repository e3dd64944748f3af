import type { Caller, CallerName } from "../callers/caller.ts";
import { chatCompletions, twoChatCompletions } from "../callers/chat-completions.ts";
import { grpc } from "../callers/grpc.ts";
import { messages } from "../callers/messages.ts";
import { responses } from "../callers/responses.ts";
import { countTokens, embeddings } from "../callers/small-callers.ts";
import type { Due, Fault } from "./faults.ts";
import type { DialectRow } from "./router.ts";

/** All callers of chats with one candidate. */
export const CALLERS: readonly Caller[] = [chatCompletions, responses, messages, grpc];

/** All callers of the table: those, and who asks for two candidates, for embeddings, and for the number of tokens. */
export const COLUMNS: readonly Caller[] = [...CALLERS, twoChatCompletions, embeddings, countTokens];

/**
 * What a row must come to for a caller at a dialect; undefined where the two have nothing to do with each other, such as a tool with an
 * embedding.
 */
export function findDue(
  fault: Fault,
  caller: CallerName,
  dialect: DialectRow["name"],
  streamed: boolean,
): Due | undefined {
  if (fault.only !== undefined && (fault.only === "stream") !== streamed) return undefined;
  switch (caller) {
    case "chat-completions-2":
      if (dialect !== "anthropic" && dialect !== "bedrock") return fault.due;
      // They make one candidate, so that one row tells all: nobody is asked.
      return fault.name === "none" ? "inexpressible" : undefined;
    case "embeddings":
      if (streamed || hasAnswer(fault)) return undefined;
      if (dialect === "anthropic" || dialect === "bedrock") return fault.name === "none" ? "inexpressible" : undefined;
      // Google's never say what they used.
      return dialect === "gemini" && fault.command.usage !== undefined ? undefined : fault.due;
    case "count-tokens":
      // A number of tokens has no usage of its own.
      if (streamed || hasAnswer(fault) || fault.command.usage !== undefined) return undefined;
      if (dialect === "anthropic") return fault.due;
      return fault.name === "none" ? "own" : undefined;
    default:
      return fault.due;
  }
}

/** Whether a row is about what a chat answers. */
function hasAnswer({ command }: Fault): boolean {
  return command.answer !== undefined || command.fault === "huge";
}
