import type { JsonObject } from "@bufbuild/protobuf";
import { type Block, type Message, Role } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { CACHE_EXTRAS, toCachePoint } from "./cache-point.ts";
import { takeExtras } from "./lose-extras.ts";
import { createPartWriter } from "./typed-part.ts";

/** The conversation as Converse takes it. */
export interface Turns {
  readonly system: JsonObject[];
  readonly messages: { readonly role: "user" | "assistant"; readonly content: JsonObject[] }[];
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Writes turns. Converse has those of a user and of an assistant only, one after the other, so that neighbours of one role become
 * one; the results of tools are the user's, and what system and developer say at the beginning stands apart. A turn that says
 * nothing is left out, for an empty one is refused.
 */
export function toTurns(messages: readonly Message[], asked: TypedAsk): Turns {
  const turns: Turns = { system: [], messages: [] };
  const writePart = createPartWriter(asked);
  for (const [index, message] of messages.entries()) {
    const path = `messages[${index}]`;
    takeExtras(message.extras, NONE, path, asked);
    if (message.name !== "") asked.lose(`${path}.name`, "has no place in Converse");
    if (message.role === Role.SYSTEM || message.role === Role.DEVELOPER) {
      // What is lost is the place: it is said before all else then.
      if (turns.messages.length > 0) asked.lose(`${path}.role`, "within the conversation has no place in Converse");
      turns.system.push(...message.blocks.flatMap((block, at) => toSystem(block, `${path}.blocks[${at}]`, asked)));
      continue;
    }
    const role = message.role === Role.ASSISTANT ? "assistant" : "user";
    const content = message.blocks.flatMap((block, at) => writePart(block, role, `${path}.blocks[${at}]`));
    const last = turns.messages.at(-1);
    if (last?.role === role) last.content.push(...content);
    else if (content.length > 0) turns.messages.push({ role, content });
  }
  return turns;
}

function toSystem({ content, extras }: Block, path: string, asked: TypedAsk): JsonObject[] {
  if (content.case !== "text") {
    asked.lose(path, "is no text, which is all that the system can say in Converse");
    return [];
  }
  const cachePoint = toCachePoint(takeExtras(extras, CACHE_EXTRAS, path, asked));
  // An empty text is refused.
  return content.value.text === "" ? cachePoint : [{ text: content.value.text }, ...cachePoint];
}
