import type { JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import { type MessageSchema, Role } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { invalid } from "../invalid.ts";
import { ReadObject } from "../read-json.ts";
import { type BlockInit, readBlock } from "./read-block.ts";

type MessageInit = MessageInitShape<typeof MessageSchema>;

const ROLES: Readonly<Record<string, Role>> = {
  user: Role.USER,
  assistant: Role.ASSISTANT,
  system: Role.SYSTEM,
};

/** Makes the first turn of `system`: a text, or a list of blocks, each of which stays one. Throws ARGUMENT_INVALID. */
export function readSystem(system: JsonValue | undefined): MessageInit[] {
  const blocks = readContent(system, "system");
  return blocks.length === 0 ? [] : [{ role: Role.SYSTEM, blocks }];
}

/**
 * Makes typed turns of `messages`. What tools answer is a turn of its own, for in typed messages it is no word of the user's. Throws
 * ARGUMENT_INVALID.
 */
export function readMessages(messages: readonly JsonValue[]): MessageInit[] {
  return messages.flatMap((given, index) => {
    const field = `messages[${index}]`;
    const message = new ReadObject(given, field);
    const word = message.getText("role");
    const role = Object.hasOwn(ROLES, word) ? ROLES[word]! : undefined;
    if (role === undefined) throw invalid(`${field}.role`, "must be user, assistant or system");
    const blocks = readContent(message.take("content"), `${field}.content`);
    const rest = message.takeRest();
    return splitResults(blocks).map((part, at) => ({
      role: part[0]?.content?.case === "toolResult" ? Role.TOOL : role,
      blocks: part,
      ...(at === 0 && rest),
    }));
  });
}

/** A text, or a list of blocks. */
function readContent(content: JsonValue | undefined, field: string): BlockInit[] {
  if (content === undefined) return [];
  if (typeof content === "string")
    return content === "" ? [] : [{ content: { case: "text", value: { text: content } } }];
  if (!Array.isArray(content)) throw invalid(field, "must be a text or a list of blocks");
  return content.map((block, at) => readBlock(block, `${field}[${at}]`));
}

/** Blocks in their order, results of tools apart from what stands around them; one empty part when there are none. */
function splitResults(blocks: readonly BlockInit[]): BlockInit[][] {
  const parts: BlockInit[][] = [];
  let isOfTool: boolean | undefined;
  for (const block of blocks) {
    const isResult = block.content?.case === "toolResult";
    if (isResult === isOfTool) parts.at(-1)!.push(block);
    else parts.push([block]);
    isOfTool = isResult;
  }
  return parts.length === 0 ? [[]] : parts;
}
