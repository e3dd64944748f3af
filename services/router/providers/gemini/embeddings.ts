import { isUtf8 } from "node:buffer";
import { create } from "@bufbuild/protobuf";
import {
  type Embedding,
  type EmbeddingInput,
  EmbeddingSchema,
} from "../../../../gen/weir/router/v1/embedding_service_pb.ts";
import type { AnswerReading, EmbeddingFormat, TypedAnswer, TypedAsk } from "../dialect.ts";
import { NO_STREAMS, readVector, refuseItem, toInputQuantities } from "../embeddings.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { malformedAnswer } from "../malformed-answer.ts";
import { toExtras, toList, toObject, toText } from "../shape.ts";
import { readRefusal, toStatedFailure } from "./error.ts";
import { CANNOT, loseExtras } from "./lose.ts";
import { toPath, toResource } from "./path.ts";

/** What a request has beyond the typed fields, each of them for all items. */
const KNOWN_EXTRAS = ["taskType", "title"];

const scan = new JsonScan(watchKeys([]));

/**
 * Embeddings (https://ai.google.dev/api/embeddings#method:-models.batchembedcontents), one item or many by the same method. An
 * item must be text. The provider takes some hundred at a time, and refuses more.
 */
export const embedContents: EmbeddingFormat = {
  ...NO_STREAMS,
  format: "embed-contents",
  toPath: ({ model }) => toPath(model, "batchEmbedContents"),
  composeTyped,
  readAnswer,
  readRefusal,
  toTypedAnswer,
};

function composeTyped(input: EmbeddingInput, asked: TypedAsk): Buffer {
  const { items, dimensions, endUser, extras } = input;
  loseExtras(extras, "", KNOWN_EXTRAS, asked.lose);
  if (endUser !== "") asked.lose("end_user", CANNOT);
  const common = {
    model: toResource(asked.model),
    ...(dimensions !== undefined && { outputDimensionality: dimensions }),
    ...Object.fromEntries(KNOWN_EXTRAS.flatMap((key) => (extras?.[key] == null ? [] : [[key, extras[key]]]))),
  };
  const requests = items.map(({ content }, at) => {
    if (content.case !== "text") throw refuseItem(asked, `items[${at}]`, `is made of tokens, which ${CANNOT}`);
    return { ...common, content: { parts: [{ text: content.value }] } };
  });
  return Buffer.from(JSON.stringify({ requests }));
}

/** Answers that were understood, so that one of many megabytes is not parsed twice. */
const understood = new WeakMap<Buffer, TypedAnswer>();

function readAnswer(body: Buffer): AnswerReading {
  if (!isUtf8(body) || !scan.scan(body, 0, body.length))
    return malformedAnswer("the provider's answer is not a JSON object");
  const said = toObject(JSON.parse(body.toString("utf8")));
  if (said.error !== undefined && said.error !== null) return { failure: toStatedFailure(said.error), textBytes: 0 };
  const answer = findTypedAnswer(said);
  if (answer === undefined) return malformedAnswer("the provider's answer has no embeddings");
  understood.set(body, answer);
  const quantities = toInputQuantities(toObject(said.usageMetadata).promptTokenCount);
  return quantities === undefined ? { textBytes: 0 } : { textBytes: 0, quantities };
}

function toTypedAnswer(body: Buffer): TypedAnswer {
  const answer = understood.get(body) ?? findTypedAnswer(toObject(JSON.parse(body.toString("utf8"))));
  if (answer === undefined) throw new Error("Cannot read embeddings: there are none");
  return answer;
}

function findTypedAnswer(said: Record<string, unknown>): TypedAnswer | undefined {
  const { embeddings: given, usageMetadata: _usage, modelVersion, ...rest } = said;
  const embeddings: Embedding[] = [];
  for (const [index, item] of toList(given).entries()) {
    const values = readVector(toObject(item).values);
    if (values === undefined) return undefined;
    embeddings.push(create(EmbeddingSchema, { index, values }));
  }
  if (embeddings.length === 0) return undefined;
  return { providerModel: toText(modelVersion), candidates: [], embeddings, ...toExtras(rest) };
}
