import type { TypedFormat } from "../dialect.ts";
import { readAnswer } from "./answer.ts";
import { readRefusal } from "./error.ts";
import { ConversePieceReader } from "./pieces.ts";
import { ConverseStreamReader } from "./stream.ts";
import { toTypedAnswer } from "./typed-answer.ts";
import { composeTyped } from "./typed-request.ts";

/** Converse and ConverseStream (https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html). */
export const converse: TypedFormat = {
  format: "converse",
  streamType: "application/vnd.amazon.eventstream",
  // A model's id may have colons, and be an ARN with slashes: it is one segment of the path.
  toPath: ({ model, streamed }) => `/model/${encodeSegment(model)}/${streamed ? "converse-stream" : "converse"}`,
  composeTyped,
  readAnswer,
  readRefusal,
  createStreamReader: (options) => new ConverseStreamReader(options),
  toTypedAnswer,
  createPieceReader: () => new ConversePieceReader(),
};

/** All but RFC 3986's unreserved characters, as the signature has it. */
function encodeSegment(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
