import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { type ReasoningBlock, StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { writeMarked } from "../../providers/reasoning-mark.ts";

/**
 * Items of a response (https://platform.openai.com/docs/api-reference/responses/object#responses/object-output), made of typed
 * blocks. Callers send the items of an answer back as input of their next request, so what a block has beyond an item's own
 * members (its extras) stands beside them, and `read-input.ts` finds it there again.
 */

/** How far an item has come. */
export type ItemStatus = "in_progress" | "completed" | "incomplete";

/** A part of an assistant's message. */
export type PartKind = "text" | "refusal";

/** Writes a part of a message. */
export function toPart(kind: PartKind, text: string, extras: JsonObject | undefined): JsonObject {
  if (kind === "refusal") return { ...extras, type: "refusal", refusal: text };
  const annotations: JsonValue = Array.isArray(extras?.annotations) ? extras.annotations : [];
  return { ...extras, type: "output_text", text, annotations, logprobs: [] };
}

/** Writes an assistant's message. */
export function toMessageItem(id: string, status: ItemStatus, content: JsonObject[]): JsonObject {
  return { id, type: "message", status, role: "assistant", content };
}

/** What a call of a function consists of. */
export interface CallParts {
  readonly callId: string;
  readonly name: string;
  readonly inputJson: string;
  readonly extras: JsonObject | undefined;
}

/** Writes a call of a function. */
export function toCallItem(id: string, status: ItemStatus, { callId, name, inputJson, extras }: CallParts): JsonObject {
  return { ...extras, id, type: "function_call", status, arguments: inputJson, call_id: callId, name };
}

/** What a reasoning item consists of. */
export type ReasoningParts = Pick<ReasoningBlock, "text" | "signature" | "redacted"> & {
  readonly extras: JsonObject | undefined;
};

/**
 * Writes a reasoning item: its text as a summary, what its provider signed or hid, marked, as `encrypted_content`: callers send that back
 * as it came. What has no mark is OpenAI's own.
 */
export function toReasoningItem(id: string, { text, signature, redacted, extras }: ReasoningParts): JsonObject {
  return {
    ...extras,
    id,
    type: "reasoning",
    summary: text === "" ? [] : [toSummaryPart(text)],
    encrypted_content: writeMarked({ signature, redacted }),
  };
}

/** Writes a part of a reasoning item's summary. */
export function toSummaryPart(text: string): JsonObject {
  return { type: "summary_text", text };
}

/** Writes a picture that the model made, as the tool that makes pictures answers. */
export function toImageItem(id: string, content: Uint8Array): JsonObject {
  const base64 = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("base64");
  return { id, type: "image_generation_call", status: "completed", result: base64 };
}

/** Names what an answer, its items and its calls are called: unlike those of any other, and the same however it is sent. */
export class ItemNames {
  readonly #hex: string;

  constructor(eventId: string) {
    this.#hex = eventId.replaceAll("-", "");
  }

  get response(): string {
    return `resp_${this.#hex}`;
  }

  item(prefix: "msg" | "fc" | "rs" | "ig", outputIndex: number): string {
    return `${prefix}_${this.#hex}${String(outputIndex).padStart(4, "0")}`;
  }

  /** Id of a call whose provider gave it none. */
  call(outputIndex: number): string {
    return `call_${this.#hex}${String(outputIndex).padStart(4, "0")}`;
  }
}

/** How an answer ended, as its `status` and `incomplete_details` say it. */
export interface Ending {
  readonly status: "completed" | "incomplete";
  readonly details: { readonly reason: string } | null;
}

/** Says how an answer ended. What only Weir tells apart, such as a turn that the provider paused, has a reason by its name here. */
export function toEnding(stop: StopReason, hasRefusal: boolean): Ending {
  switch (stop) {
    case StopReason.MAX_OUTPUT_TOKENS:
      return incomplete("max_output_tokens");
    case StopReason.FILTERED:
      return incomplete("content_filter");
    case StopReason.REFUSED:
      // A model that says that it declines has answered.
      return hasRefusal ? COMPLETED : incomplete("content_filter");
    case StopReason.PAUSED:
      return incomplete("paused");
    default:
      return COMPLETED;
  }
}

const COMPLETED: Ending = { status: "completed", details: null };

function incomplete(reason: string): Ending {
  return { status: "incomplete", details: { reason } };
}
