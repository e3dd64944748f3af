import type { JsonObject } from "@bufbuild/protobuf";
import type { EventList } from "./event-list.ts";
import {
  type ItemStatus,
  type PartKind,
  toCallItem,
  toImageItem,
  toMessageItem,
  toPart,
  toReasoningItem,
  toSummaryPart,
} from "./items.ts";

/** What a block grows by. */
export type Growth = "text" | "inputJson" | "signature";

/**
 * An item of a streamed response. It says that it was added when it is made, and that it is done when its block stops; a message,
 * which may have several blocks as its parts, when it is ended.
 */
export interface OpenItem {
  /** Its block `block` grows. What a kind of item can't grow by is left out. */
  grow(block: number, kind: Growth, text: string, events: EventList): void;
  /** Its block `block` is complete. */
  stop(block: number, events: EventList): void;
  /** The item as far as it has come. */
  toItem(status: ItemStatus): JsonObject;
}

interface Part {
  readonly at: number;
  readonly kind: PartKind;
  readonly extras: JsonObject | undefined;
  text: string;
}

/** An assistant's message: texts and refusals, each of them a part. */
export class MessageItem implements OpenItem {
  readonly #id: string;
  readonly #at: number;
  readonly #parts: Part[] = [];
  readonly #open = new Map<number, Part>();
  #endsAs: ItemStatus | undefined;

  constructor(id: string, outputIndex: number, events: EventList) {
    this.#id = id;
    this.#at = outputIndex;
    events.add("response.output_item.added", { output_index: outputIndex, item: this.toItem("in_progress") });
  }

  startPart(block: number, kind: PartKind, extras: JsonObject | undefined, events: EventList): void {
    const part: Part = { at: this.#parts.length, kind, extras, text: "" };
    this.#parts.push(part);
    this.#open.set(block, part);
    events.add("response.content_part.added", { ...this.#place(part), part: toPart(kind, "", extras) });
  }

  grow(block: number, kind: Growth, text: string, events: EventList): void {
    const part = this.#open.get(block);
    if (part === undefined || kind !== "text") return;
    part.text += text;
    if (part.kind === "text") {
      events.add("response.output_text.delta", { ...this.#place(part), delta: text, logprobs: [] });
    } else {
      events.add("response.refusal.delta", { ...this.#place(part), delta: text });
    }
  }

  stop(block: number, events: EventList): void {
    const part = this.#open.get(block);
    if (part === undefined) return;
    this.#open.delete(block);
    if (part.kind === "text") {
      events.add("response.output_text.done", { ...this.#place(part), text: part.text, logprobs: [] });
    } else {
      events.add("response.refusal.done", { ...this.#place(part), refusal: part.text });
    }
    events.add("response.content_part.done", { ...this.#place(part), part: toPart(part.kind, part.text, part.extras) });
    if (this.#endsAs !== undefined) this.end(this.#endsAs, events);
  }

  /** No further part comes. Says that it is done once all its parts are. */
  end(status: ItemStatus, events: EventList): void {
    this.#endsAs = status;
    if (this.#open.size > 0) return;
    events.add("response.output_item.done", { output_index: this.#at, item: this.toItem(status) });
  }

  toItem(status: ItemStatus): JsonObject {
    const parts = this.#parts.map(({ kind, text, extras }) => toPart(kind, text, extras));
    return toMessageItem(this.#id, status, parts);
  }

  #place({ at }: Part): JsonObject {
    return { item_id: this.#id, output_index: this.#at, content_index: at };
  }
}

/** A call of a function. */
export class CallItem implements OpenItem {
  readonly #id: string;
  readonly #at: number;
  readonly #call: { readonly callId: string; readonly name: string; readonly extras: JsonObject | undefined };
  #inputJson = "";

  constructor(
    id: string,
    outputIndex: number,
    call: { readonly callId: string; readonly name: string; readonly extras: JsonObject | undefined },
    events: EventList,
  ) {
    this.#id = id;
    this.#at = outputIndex;
    this.#call = call;
    events.add("response.output_item.added", { output_index: outputIndex, item: this.toItem("in_progress") });
  }

  grow(_block: number, kind: Growth, text: string, events: EventList): void {
    if (kind !== "inputJson") return;
    this.#inputJson += text;
    events.add("response.function_call_arguments.delta", { item_id: this.#id, output_index: this.#at, delta: text });
  }

  stop(_block: number, events: EventList): void {
    events.add("response.function_call_arguments.done", {
      item_id: this.#id,
      output_index: this.#at,
      name: this.#call.name,
      arguments: this.#inputJson,
    });
    events.add("response.output_item.done", { output_index: this.#at, item: this.toItem("completed") });
  }

  toItem(status: ItemStatus): JsonObject {
    return toCallItem(this.#id, status, { ...this.#call, inputJson: this.#inputJson });
  }
}

/** Reasoning: its text is told as one part of a summary; a signature only when it is whole, within the item that is done. */
export class ReasoningItem implements OpenItem {
  readonly #id: string;
  readonly #at: number;
  readonly #hidden: { readonly redacted: string; readonly extras: JsonObject | undefined };
  #text = "";
  #signature = "";

  constructor(
    id: string,
    outputIndex: number,
    hidden: { readonly redacted: string; readonly extras: JsonObject | undefined },
    events: EventList,
  ) {
    this.#id = id;
    this.#at = outputIndex;
    this.#hidden = hidden;
    events.add("response.output_item.added", { output_index: outputIndex, item: this.toItem() });
  }

  grow(_block: number, kind: Growth, text: string, events: EventList): void {
    if (kind === "signature") this.#signature += text;
    if (kind !== "text") return;
    if (this.#text === "") {
      events.add("response.reasoning_summary_part.added", { ...this.#place, part: toSummaryPart("") });
    }
    this.#text += text;
    events.add("response.reasoning_summary_text.delta", { ...this.#place, delta: text });
  }

  stop(_block: number, events: EventList): void {
    if (this.#text !== "") {
      events.add("response.reasoning_summary_text.done", { ...this.#place, text: this.#text });
      events.add("response.reasoning_summary_part.done", { ...this.#place, part: toSummaryPart(this.#text) });
    }
    events.add("response.output_item.done", { output_index: this.#at, item: this.toItem() });
  }

  toItem(): JsonObject {
    return toReasoningItem(this.#id, { text: this.#text, signature: this.#signature, ...this.#hidden });
  }

  get #place(): JsonObject {
    return { item_id: this.#id, output_index: this.#at, summary_index: 0 };
  }
}

/** A picture, whole when it begins. */
export class ImageItem implements OpenItem {
  readonly #at: number;
  readonly #item: JsonObject;

  constructor(id: string, outputIndex: number, content: Uint8Array, events: EventList) {
    this.#at = outputIndex;
    this.#item = toImageItem(id, content);
    const item = { ...this.#item, status: "in_progress", result: null };
    events.add("response.output_item.added", { output_index: outputIndex, item });
  }

  grow(): void {}

  stop(_block: number, events: EventList): void {
    events.add("response.output_item.done", { output_index: this.#at, item: this.#item });
  }

  toItem(): JsonObject {
    return this.#item;
  }
}
