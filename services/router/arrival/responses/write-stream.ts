import type { JsonObject } from "@bufbuild/protobuf";
import { type Block, StopReason, type Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import type { AnswerFacts, StreamWriter } from "../caller-format.ts";
import { EventList } from "./event-list.ts";
import { type Ending, ItemNames, toEnding } from "./items.ts";
import { CallItem, ImageItem, MessageItem, type OpenItem, ReasoningItem } from "./open-items.ts";
import { endItems, toResponse } from "./write-answer.ts";

type Piece = StreamResponse["piece"];

/** Most text of an answer: the format says all of it once more at the end, so it must be kept. In UTF-16 units. */
const MOST_TEXT = 32 * 1024 * 1024;

/**
 * Writes the events of a streamed response (https://platform.openai.com/docs/api-reference/responses-streaming): created and in
 * progress; for each item that it is added, its parts and their deltas, that they are done, that it is done; at last completed or
 * incomplete, with the whole answer and its usage. The format knows one candidate: the first.
 */
export class ResponsesStreamWriter implements StreamWriter {
  readonly #facts: AnswerFacts;
  readonly #names: ItemNames;
  readonly #events = new EventList();
  /** Items in the order of their indices. */
  readonly #items: OpenItem[] = [];
  /** Where the blocks that are open go, by their number. */
  readonly #open = new Map<number, OpenItem>();
  /** The message to which a further text would belong; it ends when something else begins. */
  #message: MessageItem | undefined;
  #ending: Ending | undefined;
  #hasRefusal = false;
  #textLength = 0;
  #began = false;

  constructor(facts: AnswerFacts) {
    this.#facts = facts;
    this.#names = new ItemNames(facts.eventId);
  }

  write(pieces: readonly Piece[]): Buffer {
    this.#begin();
    for (const piece of pieces) this.#writePiece(piece);
    return this.#events.take();
  }

  end(usage: Usage, extras: JsonObject | undefined): Buffer {
    this.#begin();
    this.#stop(StopReason.END);
    const ending = this.#ending ?? toEnding(StopReason.END, false);
    const output = this.#items.map((item) => item.toItem("completed"));
    endItems(output, ending.status);
    const response = toResponse({ names: this.#names, facts: this.#facts, output, ending, usage, extras });
    this.#events.add(`response.${ending.status}`, { response });
    return this.#events.take();
  }

  #begin(): void {
    if (this.#began) return;
    this.#began = true;
    const response = toResponse({ names: this.#names, facts: this.#facts, output: [] });
    this.#events.add("response.created", { response });
    this.#events.add("response.in_progress", { response });
  }

  #writePiece(piece: Piece): void {
    switch (piece.case) {
      case "blockStarted":
        if (piece.value.candidate === 0 && piece.value.block !== undefined)
          this.#start(piece.value.index, piece.value.block);
        break;
      case "blockDelta": {
        const { candidate, index, delta } = piece.value;
        const item = candidate === 0 ? this.#open.get(index) : undefined;
        if (item === undefined || delta.case === undefined || delta.value === "") break;
        this.#count(delta.value);
        item.grow(index, delta.case, delta.value, this.#events);
        break;
      }
      case "blockStopped":
        if (piece.value.candidate === 0) this.#stopBlock(piece.value.index);
        break;
      case "candidateStopped":
        if (piece.value.candidate === 0) this.#stop(piece.value.stopReason);
        break;
      default:
        // That it started and ended is told by the first and the last event.
        break;
    }
  }

  #start(index: number, block: Block): void {
    const { content, extras } = block;
    const { length } = this.#items;
    if (content.case === "text" || content.case === "refusal") {
      if (this.#message === undefined) {
        this.#message = new MessageItem(this.#names.item("msg", length), length, this.#events);
        this.#items.push(this.#message);
      }
      this.#hasRefusal ||= content.case === "refusal";
      this.#message.startPart(index, content.case, extras, this.#events);
      this.#open.set(index, this.#message);
      this.#startWith(index, "text", content.value.text);
      return;
    }
    if (content.case === "toolUse") {
      this.#endMessage();
      const { id, name, inputJson } = content.value;
      const call = { callId: id === "" ? this.#names.call(length) : id, name, extras };
      this.#add(index, new CallItem(this.#names.item("fc", length), length, call, this.#events));
      this.#startWith(index, "inputJson", inputJson);
    } else if (content.case === "reasoning") {
      this.#endMessage();
      const { text, signature, redacted } = content.value;
      this.#count(redacted);
      this.#add(index, new ReasoningItem(this.#names.item("rs", length), length, { redacted, extras }, this.#events));
      this.#startWith(index, "text", text);
      this.#startWith(index, "signature", signature);
    } else if (content.case === "image" && content.value.source.case === "content") {
      this.#endMessage();
      this.#textLength += content.value.source.value.length;
      this.#add(index, new ImageItem(this.#names.item("ig", length), length, content.value.source.value, this.#events));
    }
  }

  #add(index: number, item: OpenItem): void {
    this.#items.push(item);
    this.#open.set(index, item);
  }

  /** What a block already holds when it begins. */
  #startWith(index: number, kind: "text" | "inputJson" | "signature", value: string): void {
    if (value === "") return;
    this.#count(value);
    this.#open.get(index)?.grow(index, kind, value, this.#events);
  }

  #stopBlock(index: number): void {
    const item = this.#open.get(index);
    if (item === undefined) return;
    this.#open.delete(index);
    item.stop(index, this.#events);
  }

  /** A message whose parts have not all stopped ends with the last of them. */
  #endMessage(): void {
    this.#message?.end("completed", this.#events);
    this.#message = undefined;
  }

  #stop(reason: StopReason): void {
    if (this.#ending !== undefined) return;
    this.#ending = toEnding(reason, this.#hasRefusal);
    for (const index of [...this.#open.keys()]) this.#stopBlock(index);
    this.#message?.end(this.#ending.status, this.#events);
    this.#message = undefined;
  }

  #count(text: string): void {
    this.#textLength += text.length;
    if (this.#textLength > MOST_TEXT) {
      throw new WeirError(
        "PROVIDER_FAILED",
        `Cannot answer: the provider's answer is longer than ${MOST_TEXT} characters`,
      );
    }
  }
}
