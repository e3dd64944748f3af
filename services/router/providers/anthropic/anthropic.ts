import { Dialect as DialectId } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import type { Dialect } from "../dialect.ts";
import { countTokens } from "./count-tokens.ts";
import { messages } from "./messages.ts";

/** Anthropic Messages (https://platform.claude.com/docs/en/api/messages), as Anthropic and the servers compatible with it speak it. */
export const anthropic: Dialect = {
  id: DialectId.ANTHROPIC,
  composeCredential: (secret) => ["x-api-key", secret],
  // The version whose shapes are read here; a caller who relays has its own.
  headers: ["anthropic-version", "2023-06-01"],
  typed: messages,
  relayed: [messages, countTokens],
  // Claude Code wants these as they are (https://code.claude.com/docs/en/llm-gateway-protocol).
  answerHeaders: { names: [], prefixes: ["anthropic-ratelimit-unified-"] },
  limitHeaders: { names: [], prefixes: ["anthropic-ratelimit-"] },
};
