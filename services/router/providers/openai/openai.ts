import { Dialect as DialectId, Server } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import type { Dialect, RelayedFormat } from "../dialect.ts";
import { CAPABILITIES, type Capabilities, getCapabilities } from "./capabilities.ts";
import { createChatCompletions } from "./chat-completions.ts";
import { relayedEmbeddings, typedEmbeddings } from "./embeddings.ts";
import { responses } from "./responses/responses.ts";

// By name: looking them up costs nothing on the way of every answer. Further ones of other servers are not known.
const LIMIT_HEADERS = ["limit", "remaining", "reset"].flatMap((kind) => [
  `x-ratelimit-${kind}-requests`,
  `x-ratelimit-${kind}-tokens`,
]);

/** The OpenAI dialect, as OpenAI (https://platform.openai.com/docs/api-reference) and the compatible servers speak it. */
export const openai: Dialect = {
  ...createOpenAi(getCapabilities(Server.UNSPECIFIED)),
  servers: new Map([...CAPABILITIES].map(([server, capabilities]) => [server, createOpenAi(capabilities)])),
};

function createOpenAi(capabilities: Capabilities): Dialect {
  const chat = createChatCompletions(capabilities);
  const relayed: RelayedFormat[] = [chat, relayedEmbeddings, ...(capabilities.servesResponses ? [responses] : [])];
  return {
    id: DialectId.OPENAI,
    composeCredential: (secret) => ["authorization", `Bearer ${secret}`],
    typed: chat,
    relayed,
    embeddings: typedEmbeddings,
    answerHeaders: { names: ["openai-processing-ms", "openai-version", "openai-model"], prefixes: [] },
    limitHeaders: { names: LIMIT_HEADERS, prefixes: [] },
  };
}
