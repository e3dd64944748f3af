import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Block, BlockSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { PieceReader } from "../dialect.ts";
import { parseExact } from "../exact-json.ts";
import { listEventData, type Piece, toCandidateStopped, toDelta, toStarted, toStopped } from "../pieces.ts";
import { toExtras, toObject, toText } from "../shape.ts";
import { toAnswerBlock, toStopReason } from "./typed-answer.ts";

type Delta = { readonly case: "text" | "inputJson" | "signature"; readonly value: string };

/** A block that started and did not stop. */
interface OpenBlock {
  /** Its number among the pieces; -1 for one that has no typed form and is told whole once it is. */
  readonly index: number;
  readonly block: Block;
  /** What came of its input. */
  input: string;
}

/** Most blocks that grow at once. */
const MOST_OPEN = 1024;
/** Most bytes of an input that are kept of a block that is told whole. */
const MOST_INPUT = 8 * 1024 * 1024;

/**
 * Makes typed pieces of the events of a streamed message. Blocks map one to one, but for those without a typed form, which become an
 * empty text with everything in extras once they are complete. Citations are gathered in extras, each with the number of its block.
 */
export class AnthropicPieceReader implements PieceReader {
  readonly #open = new Map<unknown, OpenBlock>();
  readonly #citations: JsonObject[] = [];
  #nextBlock = 0;
  #isStopped = false;
  providerModel = "";
  extras: JsonObject | undefined;

  read(bytes: Buffer): Piece[] {
    const pieces: Piece[] = [];
    for (const data of listEventData(bytes)) this.#readEvent(toObject(parse(data)), pieces);
    return pieces;
  }

  end(): Piece[] {
    const pieces: Piece[] = [];
    for (const number of this.#open.keys()) this.#stopBlock(number, pieces);
    if (!this.#isStopped) this.#stop("", pieces);
    return pieces;
  }

  #readEvent(event: Record<string, unknown>, pieces: Piece[]): void {
    switch (event.type) {
      case "message_start": {
        const { model, type: _type, role: _role, content: _content, usage: _usage, ...rest } = toObject(event.message);
        this.providerModel = toText(model);
        this.#addExtras(rest);
        break;
      }
      case "content_block_start":
        this.#startBlock(event.index, event.content_block, pieces);
        break;
      case "content_block_delta":
        this.#grow(event.index, toObject(event.delta), pieces);
        break;
      case "content_block_stop":
        this.#stopBlock(event.index, pieces);
        break;
      case "message_delta": {
        const { stop_reason, ...rest } = toObject(event.delta);
        this.#addExtras({ ...rest, context_management: event.context_management });
        if (typeof stop_reason === "string" && !this.#isStopped) this.#stop(stop_reason, pieces);
        break;
      }
      default:
    }
  }

  #addExtras(members: Record<string, unknown>): void {
    const { extras } = toExtras(members);
    if (extras !== undefined) this.extras = { ...this.extras, ...extras };
  }

  #startBlock(number: unknown, given: unknown, pieces: Piece[]): void {
    if (this.#open.size >= MOST_OPEN || this.#open.has(number)) return;
    const whole = toAnswerBlock(given);
    if (isUntyped(whole)) {
      this.#open.set(number, { index: -1, block: whole, input: "" });
      return;
    }
    const index = this.#nextBlock;
    this.#nextBlock += 1;
    this.#open.set(number, { index, block: whole, input: "" });
    const { block, deltas } = split(whole);
    pieces.push(toStarted(0, index, block));
    for (const delta of deltas) this.#push(index, delta, pieces);
  }

  #grow(number: unknown, delta: Record<string, unknown>, pieces: Piece[]): void {
    const open = this.#open.get(number);
    if (open === undefined) return;
    switch (delta.type) {
      case "text_delta":
        this.#push(open.index, { case: "text", value: toText(delta.text) }, pieces);
        break;
      case "thinking_delta":
        this.#push(open.index, { case: "text", value: toText(delta.thinking) }, pieces);
        break;
      case "signature_delta":
        this.#push(open.index, { case: "signature", value: toText(delta.signature) }, pieces);
        break;
      case "input_json_delta": {
        const text = toText(delta.partial_json);
        if (open.index < 0) {
          if (open.input.length + text.length <= MOST_INPUT) open.input += text;
        } else if (text !== "") {
          open.input = "some";
          this.#push(open.index, { case: "inputJson", value: text }, pieces);
        }
        break;
      }
      case "citations_delta":
        if (this.#citations.length < MOST_OPEN) {
          this.#citations.push({ ...toObject(delta.citation), block: open.index } as JsonObject);
          this.#addExtras({ citations: this.#citations });
        }
        break;
      default:
    }
  }

  #stopBlock(number: unknown, pieces: Piece[]): void {
    const open = this.#open.get(number);
    if (open === undefined) return;
    this.#open.delete(number);
    let { index } = open;
    if (index < 0) {
      index = this.#nextBlock;
      this.#nextBlock += 1;
      const input = open.input === "" ? undefined : parseInput(open.input);
      const block: Block = { ...open.block, extras: { ...open.block.extras, ...(input !== undefined && { input }) } };
      pieces.push(toStarted(0, index, block));
    } else if (open.block.content.case === "toolUse" && open.input === "") {
      // A tool without input is one with an empty object, and some servers say the input at the start.
      this.#push(index, { case: "inputJson", value: open.block.content.value.inputJson }, pieces);
    }
    pieces.push(toStopped(0, index));
  }

  #push(index: number, delta: Delta, pieces: Piece[]): void {
    if (index >= 0 && delta.value !== "") pieces.push(toDelta(0, index, delta));
  }

  #stop(reason: string, pieces: Piece[]): void {
    this.#isStopped = true;
    pieces.push(toCandidateStopped(0, toStopReason(reason), reason));
  }
}

/** Only at their start have blocks numbers that must be kept exactly. */
function parse(data: string): unknown {
  return data.includes('"content_block_start"') ? parseExact(data) : JSON.parse(data);
}

function isUntyped({ content, extras }: Block): boolean {
  return content.case === "text" && content.value.text === "" && extras?.type !== undefined;
}

/** A block as it starts, and what it has grown by already. */
function split(whole: Block): { readonly block: Block; readonly deltas: readonly Delta[] } {
  const { content } = whole;
  switch (content.case) {
    case "text":
      return {
        block: renew(whole, { case: "text", value: {} }),
        deltas: [{ case: "text", value: content.value.text }],
      };
    case "toolUse": {
      const { id, name } = content.value;
      return { block: renew(whole, { case: "toolUse", value: { id, name } }), deltas: [] };
    }
    case "reasoning": {
      const { text, signature, redacted } = content.value;
      return {
        block: renew(whole, { case: "reasoning", value: { redacted } }),
        deltas: [
          { case: "text", value: text },
          { case: "signature", value: signature },
        ],
      };
    }
    default:
      return { block: whole, deltas: [] };
  }
}

type Start =
  | { readonly case: "text"; readonly value: object }
  | { readonly case: "toolUse"; readonly value: { readonly id: string; readonly name: string } }
  | { readonly case: "reasoning"; readonly value: { readonly redacted: string } };

function renew({ extras }: Block, content: Start): Block {
  return create(BlockSchema, { content, ...(extras !== undefined && { extras }) });
}

/** The input of a tool that runs at the provider; the text itself when the model wrote what is no JSON. */
function parseInput(text: string): JsonObject[string] {
  try {
    return parseExact(text);
  } catch {
    return text;
  }
}
