import type { RunningContender } from "./contender.ts";

/** Id of the model that is a target at a provider of messages, in the policies of the bench. */
export const MESSAGES_MODEL = "small-messages";

/** How Weir is asked: on every surface, by the same key. */
export const WEIR_SURFACES: RunningContender["surfaces"] = {
  messages: { model: MESSAGES_MODEL },
  responses: {},
  embeddings: {},
  translation: { format: "chat-completions", model: MESSAGES_MODEL },
};
