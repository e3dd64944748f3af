import { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { CallerFormat } from "./caller-format.ts";
import { chatCompletions } from "./chat-completions/chat-completions.ts";
import { scanRequest as scanChatCompletions } from "./chat-completions/scan.ts";
import { floatEmbeddings } from "./embeddings/embeddings.ts";
import { scanRequest as scanEmbeddings } from "./embeddings/scan.ts";
import { countTokens } from "./messages/count-tokens.ts";
import { messages } from "./messages/messages.ts";
import { scanCountRequest, scanRequest as scanMessages } from "./messages/scan.ts";
import { responses } from "./responses/responses.ts";
import { scanRequest as scanResponses } from "./responses/scan.ts";
import type { Surface } from "./surface.ts";

/** The paths at which calls are taken. */
const SURFACES: Readonly<Record<string, Surface>> = {
  "/v1/chat/completions": {
    name: "openai",
    operation: Operation.CHAT,
    format: chatCompletions,
    scan: scanChatCompletions,
  },
  "/v1/embeddings": {
    name: "openai",
    operation: Operation.EMBEDDING,
    format: floatEmbeddings,
    scan: scanEmbeddings,
  },
  "/v1/messages": { name: "anthropic", operation: Operation.CHAT, format: messages, scan: scanMessages },
  "/v1/messages/count_tokens": {
    name: "anthropic",
    operation: Operation.CHAT,
    format: countTokens,
    scan: scanCountRequest,
  },
  "/v1/responses": {
    name: "openai",
    operation: Operation.CHAT,
    format: responses,
    scan: scanResponses,
  },
};

/** In whose format errors are told below a path that is served by none of {@link SURFACES}: the first that fits. */
const ERROR_FORMATS: readonly { readonly path: RegExp; readonly format: CallerFormat }[] = [
  { path: /^\/v1\/messages\//, format: messages },
];

/** The surface of a path; undefined when none is there. */
export function findSurface(path: string): Surface | undefined {
  return Object.hasOwn(SURFACES, path) ? SURFACES[path] : undefined;
}

/** In whose format errors at a path are told. */
export function findErrorFormat(path: string): CallerFormat {
  return findSurface(path)?.format ?? ERROR_FORMATS.find((entry) => entry.path.test(path))?.format ?? chatCompletions;
}
