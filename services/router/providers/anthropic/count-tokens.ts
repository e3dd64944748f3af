import { isUtf8 } from "node:buffer";
import type { AnswerReading, RelayedFormat } from "../dialect.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { spliceModel } from "../splice.ts";
import { readRefusal } from "./error.ts";
import { AnthropicStreamReader } from "./stream.ts";

const scan = new JsonScan(watchKeys(["input_tokens"]));

/** Token counting (https://platform.claude.com/docs/en/api/messages/count_tokens): never streamed, and free of charge. */
export const countTokens: RelayedFormat = {
  format: "count-tokens",
  streamType: "text/event-stream",
  toPath: () => "/messages/count_tokens",
  composeRelayed: spliceModel,
  readAnswer,
  readRefusal,
  createStreamReader: () => new AnthropicStreamReader(),
};

/** What was counted was not used: that no quantities are said is said, and none are to be counted in their place. */
function readAnswer(body: Buffer): AnswerReading {
  if (!isUtf8(body) || !scan.scan(body, 0, body.length) || scan.starts[0]! < 0) {
    return {
      failure: { reason: "PROVIDER_FAILED", state: "the provider's answer is no count of tokens", elsewhere: true },
      textBytes: 0,
    };
  }
  return { textBytes: 0, quantities: new Map() };
}
