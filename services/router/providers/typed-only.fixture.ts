import { Dialect as DialectId, Server } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Dialect } from "./dialect.ts";
import { getCapabilities } from "./openai/capabilities.ts";
import { createChatCompletions } from "./openai/chat-completions.ts";

/**
 * A dialect that nobody relays to: it writes and reads what OpenAI does, under the name of another format, at another path. With it a
 * test sees the whole way there and back through the typed messages.
 */
export const typedOnly: Dialect = {
  id: DialectId.GEMINI,
  composeCredential: (secret) => ["x-key", secret],
  typed: {
    ...createChatCompletions(getCapabilities(Server.OPENAI)),
    format: "generate-content",
    toPath: ({ model, streamed }) => `/models/${model}:${streamed ? "stream" : "ask"}`,
  },
  relayed: [],
  limitHeaders: { names: ["x-ratelimit-limit-requests"], prefixes: [] },
};

/** It in place of Gemini. */
export const TYPED_ONLY: ReadonlyMap<DialectId, Dialect> = new Map([[DialectId.GEMINI, typedOnly]]);
