import type { JsonObject } from "@bufbuild/protobuf";
import type { Block } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";

/** A part of a message's content: text, a picture or a file. Undefined for what was lost. */
export function toPart(content: Block["content"], field: string, { lose }: TypedAsk): JsonObject | undefined {
  switch (content.case) {
    case "text":
      return { type: "text", text: content.value.text };
    case "image": {
      const { source, mediaType, detail } = content.value;
      const url = source.case === "url" ? source.value : toDataUrl(source.value ?? new Uint8Array(), mediaType);
      return { type: "image_url", image_url: { url, ...(detail !== "" && { detail }) } };
    }
    case "file": {
      const { source, mediaType, filename } = content.value;
      if (source.case === "url") {
        lose(field, "is a file by URL, which chat completions can't say");
        return undefined;
      }
      const file: JsonObject =
        source.case === "fileId"
          ? { file_id: source.value }
          : { file_data: toDataUrl(source.value ?? new Uint8Array(), mediaType) };
      return { type: "file", file: { ...file, ...(filename !== "" && { filename }) } };
    }
    default:
      lose(field, "is neither text nor an image nor a file");
      return undefined;
  }
}

function toDataUrl(bytes: Uint8Array, mediaType: string): string {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return `data:${mediaType === "" ? "application/octet-stream" : mediaType};base64,${base64}`;
}
