import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  EmbeddingEncoding,
  type EmbeddingInput,
  EmbeddingInputSchema,
  type EmbeddingItemSchema,
} from "../../../../gen/weir/router/v1/embedding_service_pb.ts";
import { toExtras, toText } from "../../providers/shape.ts";

/**
 * Makes a typed request of a body that was scanned, for a target that reads another format. What only this format knows stands
 * in extras.
 */
export function readInput(bytes: Buffer): EmbeddingInput {
  const body = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
  const { model, input, encoding_format, dimensions, user, ...rest } = body;
  return create(EmbeddingInputSchema, {
    model: toText(model),
    items: toItems(input),
    encoding: encoding_format === "base64" ? EmbeddingEncoding.BASE64 : EmbeddingEncoding.FLOAT,
    endUser: toText(user),
    ...(typeof dimensions === "number" && { dimensions }),
    ...toExtras(rest),
  });
}

/** The scan has seen that it is one of four: a text, texts, tokens, lists of tokens. */
function toItems(input: unknown): MessageInitShape<typeof EmbeddingItemSchema>[] {
  const list = Array.isArray(input) ? (input as unknown[]) : [input];
  if (typeof list[0] === "number") return [toItem(list)];
  return list.map(toItem);
}

function toItem(value: unknown): MessageInitShape<typeof EmbeddingItemSchema> {
  return Array.isArray(value)
    ? { content: { case: "tokens", value: { ids: value as number[] } } }
    : { content: { case: "text", value: toText(value) } };
}
