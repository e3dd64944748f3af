import { create, type JsonValue } from "@bufbuild/protobuf";
import { type Block, BlockSchema, type Message, MessageSchema, Role } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { markSigner, readMarked } from "../../providers/reasoning-mark.ts";
import { invalid } from "../invalid.ts";
import { ReadObject } from "../read-json.ts";
import { readContent, toTextBlock } from "./read-parts.ts";

/**
 * Reads the input of a request (https://platform.openai.com/docs/api-reference/responses/create#responses-create-input): a text, or
 * a list of items. Items of the assistant that follow one another (messages, reasoning, calls of functions) are one turn, as are
 * outputs of functions. Throws ARGUMENT_INVALID for items that only an account knows and those of tools that only OpenAI has.
 */
export function readItems(input: JsonValue | undefined): Message[] {
  if (typeof input === "string") return [toMessage(Role.USER, [toTextBlock(input)])];
  if (!Array.isArray(input) || input.length === 0) throw invalid("input", "must be a text, or a list, not empty");
  const messages: Message[] = [];
  for (const [at, item] of input.entries()) {
    const { role, blocks } = readItem(new ReadObject(item, `input[${at}]`), `input[${at}]`);
    if (blocks.length === 0) continue;
    const last = messages.at(-1);
    if (last?.role === role && (role === Role.ASSISTANT || role === Role.TOOL)) last.blocks.push(...blocks);
    else messages.push(toMessage(role, blocks));
  }
  return messages;
}

interface ReadItem {
  readonly role: Role;
  readonly blocks: Block[];
}

function readItem(item: ReadObject, field: string): ReadItem {
  const type = item.takeText("type") ?? "message";
  if (type === "item_reference") return readReference(item, field);
  // Names and states that only this format has; nothing is lost with them.
  item.take("id");
  item.take("status");
  switch (type) {
    case "message":
      return readMessage(item, field);
    case "function_call": {
      const value = { id: item.getText("call_id"), name: item.getText("name"), inputJson: item.getText("arguments") };
      const block = create(BlockSchema, { content: { case: "toolUse", value }, ...item.takeRest() });
      return { role: Role.ASSISTANT, blocks: [block] };
    }
    case "function_call_output": {
      const value = { toolUseId: item.getText("call_id"), blocks: readContent(item.take("output"), `${field}.output`) };
      const block = create(BlockSchema, { content: { case: "toolResult", value }, ...item.takeRest() });
      return { role: Role.TOOL, blocks: [block] };
    }
    case "reasoning":
      return { role: Role.ASSISTANT, blocks: readReasoning(item) };
    default:
      throw invalid(`${field}.type`, `is ${JSON.stringify(type)}, which can't be said to a target of another format`);
  }
}

const ROLES: Readonly<Record<string, Role>> = {
  user: Role.USER,
  system: Role.SYSTEM,
  developer: Role.DEVELOPER,
  assistant: Role.ASSISTANT,
};

function readMessage(item: ReadObject, field: string): ReadItem {
  const given = item.takeText("role") ?? "";
  const role = Object.hasOwn(ROLES, given) ? ROLES[given] : undefined;
  if (role === undefined) throw invalid(`${field}.role`, "must be user, assistant, system or developer");
  const blocks = readContent(item.take("content"), `${field}.content`);
  const { extras } = item.takeRest();
  const [first] = blocks;
  // Turns may be joined, so what only this format knows of a message stands at its first block.
  if (extras !== undefined && first !== undefined) first.extras = { ...first.extras, ...extras };
  return { role, blocks };
}

/**
 * What an account has stored is nothing to another format. Reasoning that is but referred to, as some clients do unless they are
 * told `"store": false`, is OpenAI's: the turn goes on without it.
 */
function readReference(item: ReadObject, field: string): ReadItem {
  const id = item.getText("id");
  if (!id.startsWith("rs_")) {
    const how = 'send the item itself (for some clients: "store": false)';
    throw invalid(field, `refers to what an account has stored, and is nothing to another format: ${how}`);
  }
  const value = { redacted: markSigner("openai", id) };
  return { role: Role.ASSISTANT, blocks: [create(BlockSchema, { content: { case: "reasoning", value } })] };
}

/**
 * Reasoning. What Weir itself wrote into `encrypted_content` is another provider's signature or hidden reasoning, and becomes that
 * again, byte for byte. Anything else OpenAI encrypted, and is marked as its: no other provider can read it. Without either there is only
 * the summary for people, which no provider takes back as reasoning, OpenAI included: it says nothing.
 */
function readReasoning(item: ReadObject): Block[] {
  const hidden = item.takeText("encrypted_content") ?? "";
  const summary = readTexts(item, "summary");
  const content = readTexts(item, "content");
  if (hidden === "") return [];
  const signed = readMarked(hidden) ?? { signature: "", redacted: markSigner("openai", hidden) };
  const value = { text: summary === "" ? content : summary, ...signed };
  return [create(BlockSchema, { content: { case: "reasoning", value }, ...item.takeRest() })];
}

function readTexts(item: ReadObject, name: string): string {
  const parts = item.takeList(name) ?? [];
  return parts.map((part, at) => new ReadObject(part, `${item.pathOf(name)}[${at}]`).getText("text")).join("\n\n");
}

function toMessage(role: Role, blocks: Block[]): Message {
  return create(MessageSchema, { role, blocks });
}
