import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type {
  Block,
  FileBlock,
  ImageBlock,
  ReasoningBlock,
  ToolUseBlock,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { parseObject } from "../parse-object.ts";
import { findSignedBy } from "../reasoning-mark.ts";
import { CACHE_EXTRAS, toCachePoint } from "./cache-point.ts";
import { DocumentNames, findDocumentFormat } from "./document.ts";
import { takeExtras } from "./lose-extras.ts";
import { findModelFamily } from "./model-family.ts";

/** Writes one block of a turn: what it is in Converse, and a cache point after it when it has one; nothing when it was lost. */
export type PartWriter = (block: Block, role: "user" | "assistant", path: string) => JsonObject[];

const TEXT_EXTRAS = new Set([...CACHE_EXTRAS, "citations"]);
const FILE_EXTRAS = new Set([...CACHE_EXTRAS, "citations", "context"]);

const IMAGE_FORMATS: ReadonlyMap<string, string> = new Map([
  ["image/png", "png"],
  ["image/jpeg", "jpeg"],
  ["image/jpg", "jpeg"],
  ["image/gif", "gif"],
  ["image/webp", "webp"],
]);

/**
 * Writes blocks as Converse takes them (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html). One
 * writer a request, for names of documents must differ within one.
 */
export function createPartWriter(asked: TypedAsk): PartWriter {
  const { lose } = asked;
  const family = findModelFamily(asked.model);
  const names = new DocumentNames();

  const write: PartWriter = ({ content, extras }, role, path) => {
    const known = content.case === "file" ? FILE_EXTRAS : content.case === "text" ? TEXT_EXTRAS : CACHE_EXTRAS;
    const taken = takeExtras(extras, known, path, asked);
    const part = writeContent(content, taken, role, path);
    return part === undefined ? toCachePoint(taken) : [part, ...toCachePoint(taken)];
  };

  function writeContent(
    content: Block["content"],
    extras: JsonObject,
    role: "user" | "assistant",
    path: string,
  ): JsonObject | undefined {
    switch (content.case) {
      case "text":
        return toText(content.value.text, extras.citations, path);
      case "refusal":
        // It is what the model said; that it declined is told by the words alone.
        return content.value.text === "" ? undefined : { text: content.value.text };
      case "image":
        return toImage(content.value, path);
      case "file":
        return toDocument(content.value, extras, path);
      case "toolUse":
        if (role === "assistant") return toToolUse(content.value, path);
        return drop(path, "is the use of a tool, but the turn is not the assistant's");
      case "reasoning":
        if (role === "assistant") return toReasoning(content.value, path);
        return drop(path, "is reasoning, but the turn is not the assistant's");
      case "toolResult": {
        if (role === "assistant") return drop(path, "is a tool's result, but the turn is the assistant's");
        const { toolUseId, blocks, failed } = content.value;
        const results = blocks.flatMap((block, at) => writeResult(block, `${path}.tool_result.blocks[${at}]`));
        return { toolResult: { toolUseId, content: results, ...(failed && { status: "error" }) } };
      }
      default:
        return undefined;
    }
  }

  /** A tool answers with text, images and files; there is no cache point within a result. */
  function writeResult({ content, extras }: Block, path: string): JsonObject[] {
    if (content.case !== "text" && content.case !== "image" && content.case !== "file") {
      drop(path, "must be text, an image or a file");
      return [];
    }
    const taken = takeExtras(
      extras,
      content.case === "file" ? new Set(["citations", "context"]) : new Set(),
      path,
      asked,
    );
    const part = writeContent(content, taken, "user", path);
    return part === undefined ? [] : [part];
  }

  function toText(text: string, citations: JsonValue | undefined, path: string): JsonObject | undefined {
    const list = Array.isArray(citations) ? citations : [];
    if (list.length > 0) {
      if (list.every(isCitation)) return { citationsContent: { content: [{ text }], citations: list } };
      lose(`${path}.extras["citations"]`, "are not citations of Converse");
    }
    // An empty text is refused.
    return text === "" ? undefined : { text };
  }

  function toImage({ source, mediaType, detail }: ImageBlock, path: string): JsonObject | undefined {
    if (detail !== "" && detail !== "auto") lose(`${path}.image.detail`, "has no place in Converse");
    const format = IMAGE_FORMATS.get(mediaType.toLowerCase());
    const place = toSource(source);
    if (place === undefined) return drop(path, "is an image by URL, which Bedrock does not fetch");
    if (format === undefined) return drop(path, `is an image of type "${mediaType}", which Converse does not take`);
    return { image: { format, source: place } };
  }

  function toDocument(
    { source, mediaType, filename }: FileBlock,
    extras: JsonObject,
    path: string,
  ): JsonObject | undefined {
    const format = findDocumentFormat(mediaType, filename);
    const place = toSource(source);
    if (place === undefined) return drop(path, "is a file by URL or id, which Bedrock does not fetch");
    if (format === undefined) return drop(path, `is a file of type "${mediaType}", which Converse does not take`);
    const { citations, context } = extras;
    return {
      document: {
        format,
        name: names.make(filename),
        source: place,
        ...(typeof context === "string" && { context }),
        ...(typeof citations === "object" && citations !== null && { citations }),
      },
    };
  }

  function toToolUse({ id, name, inputJson }: ToolUseBlock, path: string): JsonObject {
    let input = inputJson === "" ? {} : parseObject(inputJson);
    if (input === undefined) {
      lose(`${path}.tool_use.input_json`, "is not a JSON object, which is all that Converse takes");
      input = {};
    }
    return { toolUse: { toolUseId: id, name, input } };
  }

  /** Models refuse reasoning that they can't recognise as their own. Only Claude signs; an id that hides its maker may be Claude's. */
  function toReasoning(reasoning: ReasoningBlock, path: string): JsonObject | undefined {
    if (family === "anthropic" || family === "other") {
      const redactedContent = findSignedBy("anthropic", reasoning.redacted);
      if (redactedContent !== "") return { reasoningContent: { redactedContent } };
      const signature = findSignedBy("anthropic", reasoning.signature);
      if (signature !== "") return { reasoningContent: { reasoningText: { text: reasoning.text, signature } } };
    }
    asked.leaveOut(path);
    return undefined;
  }

  function drop(path: string, state: string): undefined {
    lose(path, state);
  }

  return write;
}

/** Bytes, or an object in S3, which Bedrock reads with the credential's rights; undefined for all that it does not fetch. */
function toSource(source: ImageBlock["source"] | FileBlock["source"]): JsonObject | undefined {
  switch (source.case) {
    case "content": {
      const { buffer, byteOffset, byteLength } = source.value;
      return { bytes: Buffer.from(buffer, byteOffset, byteLength).toString("base64") };
    }
    case "url":
      return /^s3:\/\/[a-z0-9]/.test(source.value) ? { s3Location: { uri: source.value } } : undefined;
    default:
      return undefined;
  }
}

/** https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Citation.html. Those of other formats have a type. */
function isCitation(value: JsonValue): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value) || "type" in value) return false;
  return "location" in value || "sourceContent" in value || "title" in value;
}
