import type { JsonObject } from "@bufbuild/protobuf";
import type {
  Block,
  FileBlock,
  ImageBlock,
  ReasoningBlock,
  ToolResultBlock,
  ToolUseBlock,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { parseObject } from "../parse-object.ts";
import { findSignedBy } from "../reasoning-mark.ts";
import { isMeantForUs, keepExtras } from "./extras.ts";

/** Writes a block; undefined for one that says nothing, or that was lost. */
export function toBlock(block: Block, path: string, asked: TypedAsk): JsonObject | undefined {
  const { content } = block;
  const extras = keepExtras(block.extras, path, asked);
  switch (content.case) {
    case "text":
    case "refusal":
      return toText(content.value.text, extras);
    case "image":
      return { ...extras, ...toImage(content.value, path, asked) };
    case "file": {
      const file = toFile(content.value, path, asked);
      return file && { type: "document", ...file, ...extras };
    }
    case "toolUse":
      return { ...extras, ...toToolUse(content.value, path, asked) };
    case "toolResult":
      return { ...extras, ...toToolResult(content.value, path, asked) };
    case "reasoning": {
      const reasoning = toReasoning(content.value, path, asked);
      return reasoning && { ...extras, ...reasoning };
    }
    default:
      return undefined;
  }
}

/** An empty text is refused by the API, and says nothing; unless all of a block without a typed form stands in its extras. */
function toText(text: string, extras: JsonObject | undefined): JsonObject | undefined {
  if (text === "") return typeof extras?.type === "string" ? extras : undefined;
  return { ...extras, type: "text", text };
}

function toImage({ source, mediaType, detail }: ImageBlock, path: string, { lose }: TypedAsk): JsonObject {
  if (detail !== "" && detail !== "auto") lose(`${path}.image.detail`, "can't be said in the Anthropic dialect");
  if (source.case === "url") return { type: "image", source: { type: "url", url: source.value } };
  return { type: "image", source: toBase64(source.value, mediaType) };
}

/** A document (https://platform.claude.com/docs/en/build-with-claude/pdf-support): PDF, or plain text. */
function toFile({ source, mediaType, filename }: FileBlock, path: string, asked: TypedAsk): JsonObject | undefined {
  const title: JsonObject = filename === "" ? {} : { title: filename };
  if (source.case === "url") return { source: { type: "url", url: source.value }, ...title };
  if (source.case === "fileId") {
    if (isMeantForUs(asked)) return { source: { type: "file", file_id: source.value }, ...title };
    asked.lose(path, "is a file that another provider holds");
    return undefined;
  }
  if (mediaType === "application/pdf") return { source: toBase64(source.value, mediaType), ...title };
  if (mediaType.startsWith("text/plain")) {
    const data = Buffer.from(source.value ?? new Uint8Array()).toString("utf8");
    return { source: { type: "text", media_type: "text/plain", data }, ...title };
  }
  asked.lose(path, `is a file of type "${mediaType}", which the Anthropic dialect does not take`);
  return undefined;
}

function toBase64(bytes: Uint8Array = new Uint8Array(), mediaType: string): JsonObject {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return { type: "base64", media_type: mediaType, data };
}

function toToolUse({ id, name, inputJson }: ToolUseBlock, path: string, { lose }: TypedAsk): JsonObject {
  const input = inputJson === "" ? {} : parseObject(inputJson);
  if (input === undefined) {
    lose(`${path}.tool_use.input_json`, "must be a JSON object in the Anthropic dialect");
  }
  return { type: "tool_use", id: toId(id), name, input: input ?? {} };
}

function toToolResult({ toolUseId, blocks, failed }: ToolResultBlock, path: string, asked: TypedAsk): JsonObject {
  const content = blocks.flatMap((inner, at) => {
    const written = toBlock(inner, `${path}.tool_result.blocks[${at}]`, asked);
    return written === undefined ? [] : [written];
  });
  return {
    type: "tool_result",
    tool_use_id: toId(toolUseId),
    ...(content.length > 0 && { content }),
    ...(failed && { is_error: true }),
  };
}

/** The API takes letters, digits, `_` and `-`. An id only ties a result to its use, so both are changed alike. */
function toId(id: string): string {
  return /^[\w-]+$/.test(id) ? id : `_${id.replace(/[^\w-]/g, "_")}`;
}

/**
 * Thinking as it must be sent back (https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks):
 * signed, or encrypted. What nobody signed, or somebody else did, the API refuses.
 */
function toReasoning(reasoning: ReasoningBlock, path: string, { leaveOut }: TypedAsk): JsonObject | undefined {
  const signature = findSignedBy("anthropic", reasoning.signature);
  if (signature !== "") return { type: "thinking", thinking: reasoning.text, signature };
  const data = findSignedBy("anthropic", reasoning.redacted);
  if (data !== "" && reasoning.signature === "") return { type: "redacted_thinking", data };
  leaveOut(path);
  return undefined;
}
