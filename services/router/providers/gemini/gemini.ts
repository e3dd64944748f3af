import { Dialect as DialectId } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import type { Dialect, TypedFormat } from "../dialect.ts";
import { readAnswer } from "./answer.ts";
import { toTypedAnswer } from "./codec.ts";
import { embedContents } from "./embeddings.ts";
import { readRefusal } from "./error.ts";
import { toPath } from "./path.ts";
import { GeminiPieceReader } from "./pieces.ts";
import { composeTyped } from "./request.ts";
import { GeminiStreamReader } from "./stream.ts";

/** Gemini `generateContent` (https://ai.google.dev/api/generate-content), in one piece and as server-sent events. */
const generateContent: TypedFormat = {
  format: "generate-content",
  streamType: "text/event-stream",
  toPath: ({ model, streamed }) => toPath(model, streamed ? "streamGenerateContent?alt=sse" : "generateContent"),
  readAnswer,
  readRefusal,
  createStreamReader: (options) => new GeminiStreamReader(options),
  composeTyped,
  toTypedAnswer,
  createPieceReader: () => new GeminiPieceReader(),
};

/**
 * The Gemini API (https://ai.google.dev/api), below a base URL such as "https://generativelanguage.googleapis.com/v1beta". The key
 * travels in a header, never in the URL, where it would end up in logs. No caller writes its format, so nothing is relayed.
 */
export const gemini: Dialect = {
  id: DialectId.GEMINI,
  composeCredential: (secret) => ["x-goog-api-key", secret],
  typed: generateContent,
  relayed: [],
  embeddings: embedContents,
};
