import type { JsonObject } from "@bufbuild/protobuf";
import type { Block } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { CANNOT, type Lose } from "./lose.ts";

/** A picture or a file. */
export type Media = Extract<Block["content"], { readonly case: "image" | "file" }>;

/** Where files that the provider holds are named from. */
const FILES = "https://generativelanguage.googleapis.com/v1beta/";

/**
 * Writes a picture or a file, by its bytes or by where it is (https://ai.google.dev/api/caching#Blob, #FileData). A file's id is its
 * URI, or its name "files/…"; ids of other providers can't be said. Undefined when it was handed over.
 */
export function toMediaPart(content: Media, field: string, lose: Lose): JsonObject | undefined {
  const { source, mediaType } = content.value;
  const path = `${field}.${content.case}`;
  if (content.case === "image") {
    const { detail } = content.value;
    if (detail !== "" && detail !== "auto") lose(`${path}.detail`, CANNOT);
  } else if (content.value.filename !== "") {
    lose(`${path}.filename`, CANNOT);
  }
  if (source.case === "content") {
    if (mediaType === "") {
      lose(`${path}.media_type`, "is missing, which the Gemini dialect can't do without");
      return undefined;
    }
    const { buffer, byteOffset, byteLength } = source.value;
    return {
      inlineData: { mimeType: mediaType, data: Buffer.from(buffer, byteOffset, byteLength).toString("base64") },
    };
  }
  const fileUri = source.case === "fileId" ? toUri(source.value) : source.value;
  if (fileUri === undefined) {
    lose(`${path}.file_id`, "names no file of the Gemini dialect");
    return undefined;
  }
  return { fileData: { ...(mediaType !== "" && { mimeType: mediaType }), fileUri } };
}

function toUri(id: string): string | undefined {
  if (id.startsWith("files/")) return FILES + id;
  return id.startsWith("https://") ? id : undefined;
}
