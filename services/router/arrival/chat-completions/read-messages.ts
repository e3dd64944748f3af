import type { JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import { type BlockSchema, type MessageSchema, Role } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { readMarked } from "../../providers/reasoning-mark.ts";
import { readBase64, readMediaUrl } from "../data-url.ts";
import { invalid } from "../invalid.ts";
import { ReadObject } from "../read-json.ts";

type MessageInit = MessageInitShape<typeof MessageSchema> & { blocks: BlockInit[] };
type BlockInit = MessageInitShape<typeof BlockSchema>;

const ROLES: Readonly<Record<string, Role>> = {
  system: Role.SYSTEM,
  developer: Role.DEVELOPER,
  user: Role.USER,
  assistant: Role.ASSISTANT,
  tool: Role.TOOL,
};

/** Longest id and name, as in weir.router.v1. */
const LONGEST = 256;

/**
 * Makes typed turns of `messages` (https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages). The answers of tools
 * that follow each other are one turn. Throws ARGUMENT_INVALID.
 */
export function readMessages(messages: readonly JsonValue[]): MessageInit[] {
  const turns: MessageInit[] = [];
  messages.forEach((given, index) => {
    const field = `messages[${index}]`;
    const message = new ReadObject(given, field);
    const word = message.getText("role");
    const role = Object.hasOwn(ROLES, word) ? ROLES[word]! : undefined;
    if (role === undefined) throw invalid(`${field}.role`, "must be system, developer, user, assistant or tool");
    if (role === Role.TOOL) {
      const result = readToolResult(message);
      const last = turns.at(-1);
      if (last?.role === Role.TOOL) last.blocks.push(result);
      else turns.push({ role, blocks: [result] });
      return;
    }
    const blocks = role === Role.ASSISTANT ? readReasoning(message) : [];
    blocks.push(...readContent(message));
    if (role === Role.ASSISTANT) blocks.push(...readRefusal(message), ...readToolCalls(message));
    turns.push({ role, blocks, name: readShort(message, "name"), ...message.takeRest() });
  });
  return turns;
}

function readToolResult(message: ReadObject): BlockInit {
  const toolUseId = message.getText("tool_call_id");
  if (Buffer.byteLength(toolUseId) > LONGEST)
    throw invalid(message.pathOf("tool_call_id"), `must have at most ${LONGEST} bytes`);
  const blocks = readContent(message);
  return { content: { case: "toolResult", value: { toolUseId, blocks } }, ...message.takeRest() };
}

/** Text, or a list of parts. */
function readContent(message: ReadObject): BlockInit[] {
  const content = message.take("content");
  if (content === undefined) return [];
  if (typeof content === "string") return content === "" ? [] : [toText(content)];
  const field = message.pathOf("content");
  if (!Array.isArray(content)) throw invalid(field, "must be a text or a list of parts");
  return content.map((part, at) => readPart(new ReadObject(part, `${field}[${at}]`)));
}

function toText(text: string): BlockInit {
  return { content: { case: "text", value: { text } } };
}

function readPart(part: ReadObject): BlockInit {
  const type = part.getText("type");
  const member = (name: string): ReadObject => {
    const value = part.takeObject(name);
    if (value === undefined) throw invalid(part.pathOf(name), "is missing");
    return value;
  };
  const read = (): BlockInit["content"] => {
    switch (type) {
      case "text":
        return { case: "text", value: { text: part.getText("text") } };
      case "refusal":
        return { case: "refusal", value: { text: part.getText("refusal") } };
      case "image_url": {
        const image = member("image_url");
        const media = readMediaUrl(image.getText("url"), image.pathOf("url"));
        return { case: "image", value: { ...media, detail: readShort(image, "detail", 32) } };
      }
      case "file":
        return { case: "file", value: readFile(member("file")) };
      case "input_audio": {
        const audio = member("input_audio");
        const value = readBase64(audio.getText("data"), audio.pathOf("data"));
        const mediaType = `audio/${readShort(audio, "format", 32) || "wav"}`;
        return { case: "file", value: { source: { case: "content", value }, mediaType } };
      }
      default:
        throw invalid(part.pathOf("type"), "must be text, image_url, file, input_audio or refusal");
    }
  };
  const content = read();
  return { content, ...part.takeRest() };
}

function readFile(file: ReadObject) {
  const filename = readShort(file, "filename", 1024);
  const id = readShort(file, "file_id");
  if (id !== "") return { source: { case: "fileId" as const, value: id }, filename };
  const data = file.getText("file_data");
  const field = file.pathOf("file_data");
  if (data.startsWith("data:") || /^https?:/i.test(data)) return { ...readMediaUrl(data, field), filename };
  return { source: { case: "content" as const, value: readBase64(data, field) }, filename };
}

function readRefusal(message: ReadObject): BlockInit[] {
  const text = message.takeText("refusal");
  return text === undefined || text === "" ? [] : [{ content: { case: "refusal", value: { text } } }];
}

function readToolCalls(message: ReadObject): BlockInit[] {
  const field = message.pathOf("tool_calls");
  return (message.takeList("tool_calls") ?? []).map((given, at) => {
    const call = new ReadObject(given, `${field}[${at}]`);
    const called = (call.takeText("type") ?? "function") === "function" ? call.takeObject("function") : undefined;
    if (called === undefined)
      throw invalid(`${field}[${at}].type`, "must be function, for a target of another dialect");
    call.take("index");
    const value = {
      id: readShort(call, "id"),
      name: readShort(called, "name"),
      inputJson: called.takeText("arguments") ?? "",
    };
    return { content: { case: "toolUse", value }, ...call.takeRest() };
  });
}

/** Reasoning of an earlier answer: with its signatures as `write-answer.ts` gave it, else as text. */
function readReasoning(message: ReadObject): BlockInit[] {
  const details = message.takeList("reasoning_details");
  const text = message.takeText("reasoning_content") ?? "";
  const other = message.takeText("reasoning") ?? "";
  if (details === undefined || details.length === 0) {
    const whole = text || other;
    return whole === "" ? [] : [{ content: { case: "reasoning", value: { text: whole } } }];
  }
  const field = message.pathOf("reasoning_details");
  return details.map((given, at) => {
    const detail = new ReadObject(given, `${field}[${at}]`);
    const signature = detail.takeText("signature") ?? "";
    const redacted = detail.takeText("data") ?? "";
    const value = {
      text: detail.takeText("text") ?? detail.takeText("summary") ?? "",
      ...(readMarked(signature) ?? readMarked(redacted) ?? { signature, redacted }),
    };
    return { content: { case: "reasoning", value } };
  });
}

function readShort(object: ReadObject, name: string, most = LONGEST): string {
  const text = object.takeText(name) ?? "";
  if (Buffer.byteLength(text) > most) throw invalid(object.pathOf(name), `must have at most ${most} bytes`);
  return text;
}
