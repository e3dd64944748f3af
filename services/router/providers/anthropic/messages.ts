import type { RelayedFormat, TypedFormat } from "../dialect.ts";
import { spliceModel } from "../splice.ts";
import { readAnswer } from "./answer.ts";
import { readRefusal } from "./error.ts";
import { AnthropicPieceReader } from "./pieces.ts";
import { AnthropicStreamReader } from "./stream.ts";
import { toTypedAnswer } from "./typed-answer.ts";
import { composeTyped } from "./typed-request.ts";

/**
 * Messages (https://platform.claude.com/docs/en/api/messages/create). A request that is relayed has the target's model spliced in and
 * nothing else: system, marks for the cache, earlier turns with their signatures and fields that nobody here knows go on byte for byte.
 */
export const messages: RelayedFormat & TypedFormat = {
  format: "messages",
  streamType: "text/event-stream",
  toPath: () => "/messages",
  composeRelayed: spliceModel,
  composeTyped,
  readAnswer,
  readRefusal,
  createStreamReader: (options) => new AnthropicStreamReader(options),
  toTypedAnswer,
  createPieceReader: () => new AnthropicPieceReader(),
};
