import { randomUUID } from "node:crypto";
import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Block, BlockSchema, StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { parseExact } from "../exact-json.ts";
import { markSigner } from "../reasoning-mark.ts";
import { toExtras, toList, toObject, toText } from "../shape.ts";

/** A part of an answer (https://ai.google.dev/api/caching#Part), sorted by what it means. A signature is empty when there is none. */
export type ReadPart =
  | { readonly kind: "text" | "reasoning"; readonly text: string; readonly signature: string }
  | { readonly kind: "whole"; readonly block: Block; readonly inputJson: string; readonly signature: string };

/**
 * Sorts a part of an answer. Text and reasoning may go on in the next part; all else is whole. What has no typed form (code that
 * the provider ran, its result, what comes next) is an empty text with the part in its extras, so that its place among the
 * blocks is kept.
 */
export function readPart(value: unknown): ReadPart {
  const { text, thought, thoughtSignature, functionCall, inlineData, fileData, ...rest } = toObject(value);
  const signature = markSigner("google", toText(thoughtSignature));
  if (functionCall !== undefined) return readCall(toObject(functionCall), signature);
  if (inlineData !== undefined) {
    const { data, mimeType } = toObject(inlineData);
    const media = toMedia({ case: "content", value: Buffer.from(toText(data), "base64") }, toText(mimeType));
    return toWhole(media, rest, signature);
  }
  if (fileData !== undefined) {
    const { fileUri, mimeType } = toObject(fileData);
    return toWhole(toMedia({ case: "url", value: toText(fileUri) }, toText(mimeType)), rest, signature);
  }
  if (typeof text !== "string" && Object.keys(rest).length > 0) {
    return toWhole({ case: "text", value: { text: "" } }, rest, signature);
  }
  return { kind: thought === true ? "reasoning" : "text", text: toText(text), signature };
}

function readCall({ id, name, args }: Record<string, unknown>, signature: string): ReadPart {
  // Older models give no id, but a result has to name its use, also among those of earlier turns.
  const value = { id: toText(id) || `call_${randomUUID()}`, name: toText(name) };
  const block = create(BlockSchema, { content: { case: "toolUse", value } });
  return { kind: "whole", block, inputJson: JSON.stringify(toObject(args)), signature };
}

type Source =
  | { readonly case: "content"; readonly value: Uint8Array<ArrayBuffer> }
  | { readonly case: "url"; readonly value: string };

function toMedia(source: Source, mediaType: string) {
  return { case: mediaType.startsWith("image/") ? "image" : "file", value: { source, mediaType } } as const;
}

function toWhole(
  content: ReturnType<typeof toMedia> | { readonly case: "text"; readonly value: { readonly text: string } },
  extras: Record<string, unknown>,
  signature: string,
): ReadPart {
  return { kind: "whole", block: create(BlockSchema, { content, ...toExtras(extras) }), inputJson: "", signature };
}

/** Parts whose numbers are for a tool. */
const TOOL_PART = /"(?:functionCall|toolCall|toolResponse)"/;

/**
 * The same answer, or event, with numbers that are written as they came, if there is a use of a tool, where that matters; else an
 * empty object. What else has numbers is read from a plain parse: a number that is kept is none to read.
 */
export function findExact(text: string): Record<string, unknown> {
  return TOOL_PART.test(text) ? toObject(parseExact(text)) : {};
}

/** The parts of a candidate. */
export function listParts(candidate: unknown): unknown[] {
  return toList(toObject(toObject(candidate).content).parts);
}

/** What a candidate says: text, reasoning and the input of tools. Signatures and media are none of it. */
export function listTexts(candidate: unknown): string[] {
  return listParts(candidate).map((part) => {
    const { text, functionCall } = toObject(part);
    return functionCall === undefined ? toText(text) : JSON.stringify(functionCall);
  });
}

/** Bytes of that. */
export function countText(candidate: unknown): number {
  return listTexts(candidate).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

/** Whether a candidate holds something that a caller would miss: a part that is not empty, or why it ended. */
export function hasContent(candidate: unknown): boolean {
  if (typeof toObject(candidate).finishReason === "string") return true;
  return listParts(candidate).some((part) => {
    const { text, thought: _thought, thoughtSignature: _signature, ...rest } = toObject(part);
    return toText(text) !== "" || Object.keys(rest).length > 0;
  });
}

const MOST_INDEX = 2 ** 31 - 1;

/** Number of a candidate; 0 is left out on the wire. */
export function toIndex(candidate: unknown): number {
  const { index } = toObject(candidate);
  return Number.isInteger(index) && (index as number) >= 0 && (index as number) <= MOST_INDEX ? (index as number) : 0;
}

/** Whether `promptFeedback` says that the provider's filter blocked the prompt. */
export function isBlocked(feedback: unknown): boolean {
  return toText(toObject(feedback).blockReason) !== "";
}

const STOP_REASONS: Readonly<Record<string, StopReason>> = {
  STOP: StopReason.END,
  // Not the provider's own, but of servers that speak its dialect.
  FUNCTION_CALL: StopReason.END,
  MAX_TOKENS: StopReason.MAX_OUTPUT_TOKENS,
  SAFETY: StopReason.FILTERED,
  RECITATION: StopReason.FILTERED,
  BLOCKLIST: StopReason.FILTERED,
  PROHIBITED_CONTENT: StopReason.FILTERED,
  SPII: StopReason.FILTERED,
  MODEL_ARMOR: StopReason.FILTERED,
  IMAGE_SAFETY: StopReason.FILTERED,
  IMAGE_PROHIBITED_CONTENT: StopReason.FILTERED,
  IMAGE_RECITATION: StopReason.FILTERED,
};

/**
 * A candidate's `finishReason` in Weir's words (https://ai.google.dev/api/generate-content#FinishReason). The provider says STOP
 * when it waits for a tool, and when it met a stop sequence; only the first can be told.
 */
export function toStopReason(reason: string, usesTool: boolean): StopReason {
  const known = Object.hasOwn(STOP_REASONS, reason) ? STOP_REASONS[reason]! : StopReason.OTHER;
  return known === StopReason.END && usesTool ? StopReason.TOOL_USE : known;
}

/** What only the dialect knows of a candidate: what it is grounded on, its ratings, its probabilities. */
export function toCandidateExtras(candidate: Record<string, unknown>): { readonly extras?: JsonObject } {
  const { index: _index, content: _content, finishReason: _reason, ...rest } = candidate;
  return toExtras(rest);
}

/** What only the dialect knows of an answer. */
export function toAnswerExtras(answer: Record<string, unknown>): { readonly extras?: JsonObject } {
  const { candidates: _candidates, usageMetadata: _usage, modelVersion: _model, error: _error, ...rest } = answer;
  return toExtras(rest);
}
