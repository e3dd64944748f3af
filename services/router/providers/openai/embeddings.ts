import { isUtf8 } from "node:buffer";
import { endianness } from "node:os";
import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  type Embedding,
  EmbeddingEncoding,
  type EmbeddingInput,
  EmbeddingSchema,
} from "../../../../gen/weir/router/v1/embedding_service_pb.ts";
import type { AnswerReading, EmbeddingFormat, RelayedFormat, TypedAnswer, TypedAsk } from "../dialect.ts";
import { NO_STREAMS, readVector, refuseItem, toInputQuantities } from "../embeddings.ts";
import { JsonScan, watchKeys } from "../json-scan.ts";
import { malformedAnswer } from "../malformed-answer.ts";
import { toExtras, toList, toObject, toText } from "../shape.ts";
import { spliceModel } from "../splice.ts";
import { readRefusal, toStatedFailure } from "./error.ts";

const DATA = 0;
const USAGE = 1;
const ERROR = 2;
const scan = new JsonScan(watchKeys(["data", "usage", "error"]));

/** Most items of a request, as in weir.router.v1.EmbeddingInput. */
const MOST_ITEMS = 2048;

/** What Weir itself writes; extras may not stand in its place, in whatever case. */
const OWN_KEYS = new Set(["model", "input", "dimensions", "encoding_format", "user"]);

/** Embeddings (https://platform.openai.com/docs/api-reference/embeddings), relayed: an answer is looked through, not parsed. */
export const relayedEmbeddings: RelayedFormat = {
  ...NO_STREAMS,
  format: "embeddings",
  toPath: () => "/embeddings",
  composeRelayed: spliceModel,
  readAnswer,
  readRefusal,
};

/** The same for typed requests: an answer's vectors are checked before it counts as one. */
export const typedEmbeddings: EmbeddingFormat = {
  ...NO_STREAMS,
  format: "embeddings",
  toPath: () => "/embeddings",
  composeTyped,
  readAnswer: readTypedAnswer,
  readRefusal,
  toTypedAnswer,
};

function readAnswer(body: Buffer): AnswerReading {
  if (!isUtf8(body) || !scan.scan(body, 0, body.length))
    return malformedAnswer("the provider's answer is not a JSON object");
  if (scan.has(body, ERROR)) return { failure: toStatedFailure(scan.parse(body, ERROR)), textBytes: 0 };
  if (body[scan.starts[DATA]!] !== 0x5b) return malformedAnswer("the provider's answer has no embeddings");
  const quantities = scan.has(body, USAGE)
    ? toInputQuantities(toObject(scan.parse(body, USAGE)).prompt_tokens)
    : undefined;
  return quantities === undefined ? { textBytes: 0 } : { textBytes: 0, quantities };
}

/** Answers that were understood, so that one of many megabytes is not parsed twice. */
const understood = new WeakMap<Buffer, TypedAnswer>();

function readTypedAnswer(body: Buffer): AnswerReading {
  const reading = readAnswer(body);
  if (reading.failure !== undefined) return reading;
  const answer = findTypedAnswer(body);
  if (answer === undefined) return malformedAnswer("the provider's embeddings are no vectors");
  understood.set(body, answer);
  return reading;
}

function toTypedAnswer(body: Buffer): TypedAnswer {
  const answer = understood.get(body) ?? findTypedAnswer(body);
  if (answer === undefined) throw new Error("Cannot read embeddings: they are no vectors");
  return answer;
}

function findTypedAnswer(body: Buffer): TypedAnswer | undefined {
  const { data, model, usage: _usage, object: _object, ...rest } = toObject(JSON.parse(body.toString("utf8")));
  const embeddings: Embedding[] = [];
  for (const [at, item] of toList(data).entries()) {
    const { index, embedding } = toObject(item);
    const values = typeof embedding === "string" ? decodeVector(embedding) : readVector(embedding);
    if (values === undefined) return undefined;
    embeddings.push(create(EmbeddingSchema, { index: isIndex(index) ? index : at, values }));
  }
  if (embeddings.length === 0) return undefined;
  embeddings.sort((one, other) => one.index - other.index);
  return { providerModel: toText(model), candidates: [], embeddings, ...toExtras(rest) };
}

/** A vector as base64 of its 32-bit numbers, the lowest byte first; undefined when it is none. */
function decodeVector(text: string): number[] | undefined {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length === 0 || bytes.length % 4 !== 0) return undefined;
  if (endianness() === "BE") bytes.swap32();
  return readVector([...new Float32Array(new Uint8Array(bytes).buffer)]);
}

function composeTyped(input: EmbeddingInput, asked: TypedAsk): Buffer {
  const { items, dimensions, encoding, endUser } = input;
  const extras: JsonObject = {};
  for (const [key, value] of Object.entries(input.extras ?? {})) {
    if (OWN_KEYS.has(key.toUpperCase().toLowerCase())) asked.lose(`extras["${key}"]`, "has a field of its own");
    else extras[key] = value;
  }
  const kind = items[0]?.content.case;
  const written = items.map(({ content }, at) => {
    if (content.case !== kind || content.case === undefined) {
      throw refuseItem(asked, `items[${at}]`, "is of another kind than the first, which the OpenAI dialect can't say");
    }
    return content.case === "text" ? content.value : content.value.ids;
  });
  const body = {
    ...extras,
    model: asked.model,
    input: written,
    encoding_format: encoding === EmbeddingEncoding.BASE64 ? "base64" : "float",
    ...(dimensions !== undefined && { dimensions }),
    ...(endUser !== "" && { user: endUser }),
  };
  return Buffer.from(JSON.stringify(body));
}

function isIndex(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MOST_ITEMS;
}
