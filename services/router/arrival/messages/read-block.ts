import type { JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import type { BlockSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { toAnswerBlock } from "../../providers/anthropic/typed-answer.ts";
import { readMarked } from "../../providers/reasoning-mark.ts";
import { toObject } from "../../providers/shape.ts";
import { readBase64, readMediaUrl } from "../data-url.ts";
import { invalid } from "../invalid.ts";
import { ReadObject } from "../read-json.ts";

/** A block to be. */
export type BlockInit = MessageInitShape<typeof BlockSchema>;

/** Longest id and name, as in weir.router.v1. */
const LONGEST = 256;

/**
 * Makes a typed block of a block of a request. One without a typed form (what a tool that runs at the provider said, a source of search
 * results, a kind that nobody here knows) is an empty text with all of it, its `type` included, in extras. Throws ARGUMENT_INVALID.
 */
export function readBlock(given: JsonValue, field: string): BlockInit {
  const block = new ReadObject(given, field);
  const type = block.getText("type");
  switch (type) {
    case "text":
      return { content: { case: "text", value: { text: block.getText("text") } }, ...block.takeRest() };
    case "image":
      return readImage(block);
    case "document":
      return readDocument(block) ?? toAnswerBlock(given);
    case "tool_use": {
      const id = getShort(block, "id");
      const name = getShort(block, "name");
      const value = { id, name, inputJson: JSON.stringify(block.take("input") ?? {}) };
      return { content: { case: "toolUse", value }, ...block.takeRest() };
    }
    case "tool_result":
      return readResult(block, field);
    case "thinking": {
      const signature = block.takeText("signature") ?? "";
      const value = { text: block.getText("thinking"), signature: readMarked(signature)?.signature ?? signature };
      return { content: { case: "reasoning", value }, ...block.takeRest() };
    }
    case "redacted_thinking":
      return { content: { case: "reasoning", value: { redacted: block.getText("data") } }, ...block.takeRest() };
    default:
      return toAnswerBlock(given);
  }
}

function readImage(block: ReadObject): BlockInit {
  const source = getSource(block);
  const type = source.getText("type");
  switch (type) {
    case "base64": {
      const value = readBase64(source.getText("data"), source.pathOf("data"));
      const mediaType = getShort(source, "media_type", 128);
      return {
        content: { case: "image", value: { source: { case: "content", value }, mediaType } },
        ...block.takeRest(),
      };
    }
    case "url":
      return {
        content: { case: "image", value: readMediaUrl(source.getText("url"), source.pathOf("url")) },
        ...block.takeRest(),
      };
    case "file": {
      const value = { source: { case: "fileId" as const, value: getShort(source, "file_id") } };
      // A picture that the provider holds has no typed form but that of a file.
      return { content: { case: "file", value }, extras: { ...block.takeRest().extras, type: "image" } };
    }
    default:
      throw invalid(source.pathOf("type"), "must be base64, url or file");
  }
}

/** A document; undefined for one that is made of blocks, which has no typed form. */
function readDocument(block: ReadObject): BlockInit | undefined {
  const source = getSource(block);
  const filename = block.takeText("title") ?? "";
  const type = source.getText("type");
  const read = () => {
    switch (type) {
      case "base64": {
        const value = readBase64(source.getText("data"), source.pathOf("data"));
        return { source: { case: "content" as const, value }, mediaType: getShort(source, "media_type", 128) };
      }
      case "text": {
        const value = Buffer.from(source.getText("data"));
        return { source: { case: "content" as const, value }, mediaType: getShort(source, "media_type", 128) };
      }
      case "url":
        return readMediaUrl(source.getText("url"), source.pathOf("url"));
      case "file":
        return { source: { case: "fileId" as const, value: getShort(source, "file_id") } };
      default:
        return undefined;
    }
  };
  const file = read();
  return file && { content: { case: "file", value: { ...file, filename } }, ...block.takeRest() };
}

function getSource(block: ReadObject): ReadObject {
  const source = block.takeObject("source");
  if (source === undefined) throw invalid(block.pathOf("source"), "is missing");
  return source;
}

/** What a tool answers: a text, or blocks, among which are no further answers. */
function readResult(block: ReadObject, field: string): BlockInit {
  const toolUseId = getShort(block, "tool_use_id");
  const failed = block.takeFlag("is_error") ?? false;
  const content = block.take("content") ?? [];
  if (typeof content !== "string" && !Array.isArray(content)) {
    throw invalid(`${field}.content`, "must be a text or a list of blocks");
  }
  const blocks =
    typeof content === "string"
      ? [{ content: { case: "text" as const, value: { text: content } } }]
      : content.map((inner, at) => readInner(inner, `${field}.content[${at}]`));
  return { content: { case: "toolResult", value: { toolUseId, blocks, failed } }, ...block.takeRest() };
}

function readInner(given: JsonValue, field: string): BlockInit {
  const { type } = toObject(given);
  if (type === "tool_result") throw invalid(`${field}.type`, "must not be tool_result within one");
  return readBlock(given, field);
}

function getShort(object: ReadObject, name: string, longest = LONGEST): string {
  const text = object.getText(name);
  if (Buffer.byteLength(text) <= longest) return text;
  throw invalid(object.pathOf(name), `must have at most ${longest} bytes`);
}
