import type { JsonObject } from "@bufbuild/protobuf";
import { type Block, StopReason, type Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import type { AnswerFacts, StreamWriter } from "../caller-format.ts";
import { toMessage, toToolUseId } from "./write-answer.ts";
import { toContentBlock, toStopReason, toUsage, UNSIGNED } from "./write-block.ts";

type Piece = StreamResponse["piece"];

/** A block of the typed stream that is not written to its end. */
interface OpenBlock {
  readonly block: Block;
  /** What it grew by and is not written yet. */
  waiting: JsonObject[];
  isStopped: boolean;
  /** Of reasoning: whether a signature came. */
  isSigned: boolean;
  /** Whether its start was written. A text starts with its first character, for an empty one could not be sent back. */
  isStarted: boolean;
}

/**
 * Writes the events of a streamed message (https://platform.claude.com/docs/en/build-with-claude/streaming): `message_start`, one
 * block after the other, each with start, deltas and stop, then `message_delta` with the stop reason and the whole usage, and
 * `message_stop`. Blocks of typed messages may grow side by side, as parallel tool uses do with some providers; here the first one
 * goes on, and what others grow by waits until it has stopped. The format has one candidate.
 */
export class MessagesWriter implements StreamWriter {
  readonly #facts: AnswerFacts;
  /** By number, in the order of their starts: the first one is being written. */
  readonly #open = new Map<number, OpenBlock>();
  #hasStarted = false;
  #written = 0;
  #usesTool = false;
  #stopReason: StopReason = StopReason.OTHER;

  constructor(facts: AnswerFacts) {
    this.#facts = facts;
  }

  write(pieces: readonly Piece[]): Buffer {
    let text = this.#begin();
    for (const piece of pieces) text += this.#takePiece(piece);
    return Buffer.from(text);
  }

  end(usage: Usage, extras: JsonObject | undefined): Buffer {
    let text = this.#begin();
    for (const open of this.#open.values()) open.isStopped = true;
    text += this.#goOn();
    const stop_sequence = typeof extras?.stop_sequence === "string" ? extras.stop_sequence : null;
    const delta = { stop_reason: toStopReason(this.#stopReason, this.#usesTool), stop_sequence };
    text += toEvent({ type: "message_delta", delta, usage: toUsage(usage) });
    return Buffer.from(text + toEvent({ type: "message_stop" }));
  }

  #begin(): string {
    if (this.#hasStarted) return "";
    this.#hasStarted = true;
    const usage = {
      input_tokens: this.#facts.inputTokens,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      output_tokens: 0,
    };
    const message = { ...toMessage(this.#facts), content: [], stop_reason: null, stop_sequence: null, usage };
    return toEvent({ type: "message_start", message });
  }

  #takePiece(piece: Piece): string {
    if (piece.value === undefined || !("candidate" in piece.value) || piece.value.candidate !== 0) return "";
    switch (piece.case) {
      case "blockStarted": {
        const { index, block } = piece.value;
        if (block === undefined) return "";
        this.#open.set(index, { block, waiting: [], isStopped: false, isSigned: false, isStarted: false });
        return this.#goOn();
      }
      case "blockDelta": {
        const { index, delta } = piece.value;
        const open = this.#open.get(index);
        if (open === undefined || open.isStopped || delta.value === undefined || delta.value === "") return "";
        open.isSigned ||= delta.case === "signature";
        open.waiting.push(toDelta(open.block, delta.case, delta.value));
        return this.#goOn();
      }
      case "blockStopped": {
        const open = this.#open.get(piece.value.index);
        if (open === undefined) return "";
        open.isStopped = true;
        return this.#goOn();
      }
      case "candidateStopped":
        this.#stopReason = piece.value.stopReason;
        return "";
      default:
        return "";
    }
  }

  /** Writes what can be written: of the first block what waits, and of those after it as soon as it has stopped. */
  #goOn(): string {
    let text = "";
    for (const [number, open] of this.#open) {
      text += this.#writeBlock(open);
      if (!open.isStopped) return text;
      if (open.isStarted) {
        if (isUnsigned(open)) text += this.#writeDelta({ type: "signature_delta", signature: UNSIGNED });
        text += toEvent({ type: "content_block_stop", index: this.#written });
        this.#written += 1;
      }
      this.#open.delete(number);
    }
    return text;
  }

  #writeBlock(open: OpenBlock): string {
    let text = "";
    if (!open.isStarted) {
      const content_block = this.#toStart(open);
      if (content_block === undefined) return "";
      open.isStarted = true;
      text = toEvent({ type: "content_block_start", index: this.#written, content_block });
    }
    for (const delta of open.waiting) text += this.#writeDelta(delta);
    open.waiting = [];
    return text;
  }

  #writeDelta(delta: JsonObject): string {
    return toEvent({ type: "content_block_delta", index: this.#written, delta });
  }

  /** How a block starts; undefined as long as it has nothing that would be missed. */
  #toStart({ block, waiting }: OpenBlock): JsonObject | undefined {
    const { content } = block;
    if (content.case === "toolUse") {
      this.#usesTool = true;
      const { id, name } = content.value;
      return { type: "tool_use", id: id === "" ? toToolUseId(this.#facts, this.#written) : id, name, input: {} };
    }
    const whole = toContentBlock(block, "");
    if (whole !== undefined) return whole;
    if (waiting.length === 0) return undefined;
    if (content.case === "reasoning") return { type: "thinking", thinking: "", signature: "" };
    return { type: "text", text: "" };
  }
}

function toDelta({ content }: Block, kind: "text" | "inputJson" | "signature" | undefined, value: string): JsonObject {
  if (kind === "inputJson") return { type: "input_json_delta", partial_json: value };
  if (kind === "signature") return { type: "signature_delta", signature: value };
  if (content.case === "reasoning") return { type: "thinking_delta", thinking: value };
  return { type: "text_delta", text: value };
}

/** Whether a block is reasoning that nobody signed. One that was there when it began says so itself. */
function isUnsigned({ block: { content }, isSigned }: OpenBlock): boolean {
  return (
    content.case === "reasoning" &&
    !isSigned &&
    content.value.text === "" &&
    content.value.redacted === "" &&
    content.value.signature === ""
  );
}

function toEvent(event: JsonObject & { readonly type: string }): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
