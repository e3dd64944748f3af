import type { RelayedFormat } from "../../dialect.ts";

import { spliceModel } from "../../splice.ts";
import { readAnswer } from "./answer.ts";
import { readRefusal } from "./error.ts";
import { ResponsesStreamReader } from "./stream.ts";

/**
 * OpenAI responses (https://platform.openai.com/docs/api-reference/responses), relayed to the servers that speak them. Nothing is
 * written into this format from typed messages: what another format asked goes to chat completions.
 */
export const responses: RelayedFormat = {
  format: "responses",
  streamType: "text/event-stream",
  toPath: () => "/responses",
  // A response always says its usage, so that of a request only the model changes.
  composeRelayed: spliceModel,
  readAnswer,
  readRefusal,
  createStreamReader: ({ text }) => new ResponsesStreamReader(text),
};
