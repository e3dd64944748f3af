import type { JsonObject } from "@bufbuild/protobuf";
import { type ChatInput, type Message, Role } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { keepExtras } from "./extras.ts";
import { refuse } from "./refuse.ts";
import { toBlock } from "./typed-block.ts";

/** The turns of the operator at the beginning: text for one plain text, as older servers want it, else a list of blocks. */
export function toSystem({ messages }: ChatInput, asked: TypedAsk): string | JsonObject[] | undefined {
  const blocks = messages.slice(0, countSystem(messages)).flatMap((message, index) => toBlocks(message, index, asked));
  const [only] = blocks;
  if (only === undefined) return undefined;
  if (blocks.length === 1 && typeof only.text === "string" && Object.keys(only).length === 2) return only.text;
  return blocks;
}

/**
 * The turns after those. What tools answer goes in turns of the user, those of one step together and before what the user adds, as the
 * API wants it (https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls); other neighbours of one role stay
 * apart, for the API takes them. Instructions of the operator in the middle stay where they are
 * (https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages).
 */
export function toTurns({ messages }: ChatInput, asked: TypedAsk): JsonObject[] {
  const turns: { readonly role: string; readonly content: JsonObject[]; readonly extras: JsonObject | undefined }[] =
    [];
  let isOfTool = false;
  const first = countSystem(messages);
  messages.slice(first).forEach((message, at) => {
    const content = toBlocks(message, first + at, asked);
    const role = ROLES[message.role] ?? "user";
    const extras = keepExtras(message.extras, `messages[${first + at}]`, asked);
    const last = turns.at(-1);
    const joins = isOfTool || message.role === Role.TOOL;
    // A turn in which nothing is said says nothing; the API takes none.
    if (content.length === 0) return;
    isOfTool = message.role === Role.TOOL;
    if (joins && last?.role === "user" && role === "user") last.content.push(...content);
    else turns.push({ role, content, extras });
  });
  return turns.map(({ role, content, extras }) => ({ ...extras, role, content: simplify(content) }));
}

const ROLES: Readonly<Record<number, string>> = {
  [Role.SYSTEM]: "system",
  [Role.DEVELOPER]: "system",
  [Role.USER]: "user",
  [Role.ASSISTANT]: "assistant",
  [Role.TOOL]: "user",
};

function countSystem(messages: readonly Message[]): number {
  const count = messages.findIndex(({ role }) => role !== Role.SYSTEM && role !== Role.DEVELOPER);
  return count < 0 ? messages.length : count;
}

function toBlocks(message: Message, index: number, asked: TypedAsk): JsonObject[] {
  const path = `messages[${index}]`;
  if (message.name !== "") asked.lose(`${path}.name`, "can't be said in the Anthropic dialect");
  return message.blocks.flatMap((block, at) => {
    if (message.role === Role.TOOL && block.content.case !== "toolResult") {
      throw refuse(`${path}.blocks[${at}]`, "must be a tool's result");
    }
    const written = toBlock(block, `${path}.blocks[${at}]`, asked);
    return written === undefined ? [] : [written];
  });
}

/** One plain text stands for itself. */
function simplify(content: JsonObject[]): string | JsonObject[] {
  const [only] = content;
  const isPlain = content.length === 1 && typeof only?.text === "string" && Object.keys(only).length === 2;
  return isPlain ? (only.text as string) : content;
}
