import { create, type JsonValue } from "@bufbuild/protobuf";
import { type Block, BlockSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { readBase64, readMediaUrl } from "../data-url.ts";
import { invalid } from "../invalid.ts";
import { ReadObject } from "../read-json.ts";

/**
 * Reads the content of a message, or the output of a function: a text, or a list of parts
 * (https://platform.openai.com/docs/api-reference/responses/create#responses-create-input). Members of a part that have no typed
 * form become its extras.
 */
export function readContent(content: JsonValue | undefined, field: string): Block[] {
  if (typeof content === "string") return [toTextBlock(content)];
  if (!Array.isArray(content)) throw invalid(field, "must be a text or a list");
  return content.map((part, at) => readPart(new ReadObject(part, `${field}[${at}]`), `${field}[${at}]`));
}

/** Makes a block of text. */
export function toTextBlock(text: string): Block {
  return create(BlockSchema, { content: { case: "text", value: { text } } });
}

function readPart(part: ReadObject, field: string): Block {
  const type = part.takeText("type") ?? "none";
  switch (type) {
    case "input_text":
    case "output_text":
    case "text": {
      const text = part.getText("text");
      dropEmpty(part, "annotations");
      dropEmpty(part, "logprobs");
      return create(BlockSchema, { content: { case: "text", value: { text } }, ...part.takeRest() });
    }
    case "refusal": {
      const value = { text: part.getText("refusal") };
      return create(BlockSchema, { content: { case: "refusal", value }, ...part.takeRest() });
    }
    case "input_image":
      return readImage(part, field);
    case "input_file":
      return readFile(part);
    default:
      throw invalid(`${field}.type`, `is ${JSON.stringify(type)}, which can't be said to a target of another format`);
  }
}

function readImage(part: ReadObject, field: string): Block {
  const fileId = part.take("file_id");
  if (fileId !== undefined)
    throw invalid(`${field}.file_id`, "names what an account holds, and is nothing to another format");
  const found = readMediaUrl(part.getText("image_url"), `${field}.image_url`);
  const value = { ...found, detail: readDetail(part) };
  return create(BlockSchema, { content: { case: "image", value }, ...part.takeRest() });
}

function readFile(part: ReadObject): Block {
  const filename = part.takeText("filename") ?? "";
  const data = part.takeText("file_data");
  const url = part.takeText("file_url");
  const detail = readDetail(part);
  if (detail !== "") part.leave("detail", detail);
  const extras = () => part.takeRest();
  if (data !== undefined) {
    const path = part.pathOf("file_data");
    // Base64 by itself is taken, too; then only the name can tell the type.
    const value = /^data:/i.test(data)
      ? readMediaUrl(data, path)
      : {
          source: { case: "content" as const, value: readBase64(data, path) },
          mediaType: /\.pdf$/i.test(filename) ? "application/pdf" : "application/octet-stream",
        };
    return create(BlockSchema, { content: { case: "file", value: { ...value, filename } }, ...extras() });
  }
  const value =
    url !== undefined
      ? { ...readMediaUrl(url, part.pathOf("file_url")), filename }
      : { source: { case: "fileId" as const, value: part.getText("file_id") }, filename };
  return create(BlockSchema, { content: { case: "file", value }, ...extras() });
}

/** How closely to look; "auto" is what this format itself takes when nothing is said. */
function readDetail(part: ReadObject): string {
  const detail = part.takeText("detail") ?? "";
  return detail === "auto" ? "" : detail;
}

/** Forgets a member that is an empty list, as answers have them. */
function dropEmpty(part: ReadObject, name: string): void {
  const value = part.take(name);
  if (value !== undefined && !(Array.isArray(value) && value.length === 0)) part.leave(name, value);
}
