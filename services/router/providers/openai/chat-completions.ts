import type { RelayedFormat, TypedFormat } from "../dialect.ts";
import { readAnswer } from "./answer.ts";
import type { Capabilities } from "./capabilities.ts";
import { readRefusal } from "./error.ts";
import { OpenAiPieceReader } from "./pieces.ts";
import { composeRelayed } from "./request.ts";
import { OpenAiStreamReader } from "./stream.ts";
import { toTypedAnswer } from "./typed-answer.ts";
import { composeTyped } from "./typed-request.ts";

/** Chat completions (https://platform.openai.com/docs/api-reference/chat), as a server takes them. */
export function createChatCompletions(capabilities: Capabilities): RelayedFormat & TypedFormat {
  return {
    format: "chat-completions",
    streamType: "text/event-stream",
    toPath: () => "/chat/completions",
    composeRelayed: (request, model, allocator) => composeRelayed(request, model, allocator, capabilities),
    composeTyped: (input, asked) => composeTyped(input, asked, capabilities),
    readAnswer,
    readRefusal,
    createStreamReader: (options) => new OpenAiStreamReader(options),
    toTypedAnswer,
    createPieceReader: () => new OpenAiPieceReader(),
  };
}
