import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Block, BlockSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { PieceReader } from "../dialect.ts";
import { type Piece, toCandidateStopped, toDelta, toStarted, toStopped } from "../pieces.ts";
import { toExtras, toObject, toText } from "../shape.ts";
import { decodeFrame, FrameSplitter } from "./frames.ts";
import { readPayload } from "./read-payload.ts";
import { toStopReason } from "./stop-reason.ts";

type Delta = { readonly case: "text" | "inputJson" | "signature"; readonly value: string };

/** A block while it is streamed. */
type OpenBlock =
  | { readonly kind: "text" | "reasoning" | "toolUse"; readonly index: number; hasGrown: boolean }
  /** Hidden reasoning has no delta in typed messages, so that it begins when all of it is there. */
  | { readonly kind: "redacted"; readonly parts: string[] };

/** Most blocks of one answer that are open at once, and most of its citations that are kept. */
const MOST = 1024;

/** Makes typed pieces of the frames that a {@link ConverseStreamReader} let through. There is one candidate. */
export class ConversePieceReader implements PieceReader {
  readonly #splitter = new FrameSplitter();
  /** By the provider's index. */
  readonly #open = new Map<number, OpenBlock>();
  #nextIndex = 0;
  #isStopped = false;
  readonly #citations: JsonObject[] = [];
  /** Converse does not say it. */
  readonly providerModel = "";
  extras: JsonObject | undefined;

  read(bytes: Buffer): Piece[] {
    const pieces: Piece[] = [];
    this.#splitter.read(bytes, (frame) => {
      const { type = "", payload } = decodeFrame(frame) ?? {};
      const event = payload === undefined ? undefined : readPayload(payload);
      if (event !== undefined) this.#readEvent(type, event, pieces);
      return true;
    });
    return pieces;
  }

  end(): Piece[] {
    const pieces: Piece[] = [];
    if (!this.#isStopped) this.#stop("", pieces);
    return pieces;
  }

  #readEvent(type: string, event: Record<string, unknown>, pieces: Piece[]): void {
    const { contentBlockIndex, start, delta, stopReason, additionalModelResponseFields, p: _padding, ...rest } = event;
    if (type === "metadata") {
      const { usage: _usage, ...facts } = rest;
      this.#addExtras(facts);
      return;
    }
    if (this.#isStopped) return;
    const number = typeof contentBlockIndex === "number" ? contentBlockIndex : 0;
    switch (type) {
      case "contentBlockStart":
        this.#start(number, toObject(toObject(start).toolUse), pieces);
        break;
      case "contentBlockDelta":
        this.#grow(number, toObject(delta), pieces);
        break;
      case "contentBlockStop":
        this.#endBlock(number, pieces);
        break;
      case "messageStop":
        this.#addExtras({ additionalModelResponseFields });
        this.#stop(toText(stopReason), pieces);
        break;
    }
  }

  #start(number: number, { toolUseId, name }: Record<string, unknown>, pieces: Piece[]): void {
    if (typeof toolUseId !== "string") return;
    this.#endBlock(number, pieces);
    const value = { id: toolUseId, name: toText(name) };
    this.#begin(number, "toolUse", create(BlockSchema, { content: { case: "toolUse", value } }), pieces);
  }

  #grow(number: number, { text, toolUse, reasoningContent, citation }: Record<string, unknown>, pieces: Piece[]): void {
    const { text: thought, signature, redactedContent } = toObject(reasoningContent);
    this.#delta(number, "text", { case: "text", value: toText(text) }, pieces);
    this.#delta(number, "toolUse", { case: "inputJson", value: toText(toObject(toolUse).input) }, pieces);
    this.#delta(number, "reasoning", { case: "text", value: toText(thought) }, pieces);
    this.#delta(number, "reasoning", { case: "signature", value: toText(signature) }, pieces);
    if (toText(redactedContent) !== "") this.#hide(number, toText(redactedContent), pieces);
    if (citation !== undefined && this.#citations.length < MOST) {
      this.#citations.push(toObject(citation) as JsonObject);
      this.extras = { ...this.extras, citations: this.#citations };
    }
  }

  #delta(number: number, kind: "text" | "reasoning" | "toolUse", delta: Delta, pieces: Piece[]): void {
    if (delta.value === "") return;
    let block = this.#open.get(number);
    if (block?.kind !== kind) {
      // A tool's use without its beginning has no name: it can't be told.
      if (kind === "toolUse") return;
      this.#endBlock(number, pieces);
      block = this.#begin(number, kind, create(BlockSchema, { content: { case: kind, value: {} } }), pieces);
      if (block === undefined) return;
    }
    if (block.kind === "redacted") return;
    block.hasGrown = true;
    pieces.push(toDelta(0, block.index, delta));
  }

  #hide(number: number, redacted: string, pieces: Piece[]): void {
    const block = this.#open.get(number);
    if (block?.kind === "redacted") {
      block.parts.push(redacted);
      return;
    }
    this.#endBlock(number, pieces);
    if (this.#open.size < MOST) this.#open.set(number, { kind: "redacted", parts: [redacted] });
  }

  #begin(number: number, kind: "text" | "reasoning" | "toolUse", block: Block, pieces: Piece[]): OpenBlock | undefined {
    if (this.#open.size >= MOST) return undefined;
    const index = this.#nextIndex;
    this.#nextIndex += 1;
    const open: OpenBlock = { kind, index, hasGrown: false };
    this.#open.set(number, open);
    pieces.push(toStarted(0, index, block));
    return open;
  }

  #endBlock(number: number, pieces: Piece[]): void {
    const block = this.#open.get(number);
    if (block === undefined) return;
    this.#open.delete(number);
    let index: number;
    if (block.kind === "redacted") {
      index = this.#nextIndex;
      this.#nextIndex += 1;
      const whole = create(BlockSchema, {
        content: { case: "reasoning", value: { redacted: joinBase64(block.parts) } },
      });
      pieces.push(toStarted(0, index, whole));
    } else {
      ({ index } = block);
      // A tool without input is one with an empty object, as it is in an answer in one piece: clients parse it.
      if (block.kind === "toolUse" && !block.hasGrown) {
        pieces.push(toDelta(0, index, { case: "inputJson", value: "{}" }));
      }
    }
    pieces.push(toStopped(0, index));
  }

  #stop(reason: string, pieces: Piece[]): void {
    for (const number of [...this.#open.keys()]) this.#endBlock(number, pieces);
    this.#isStopped = true;
    pieces.push(toCandidateStopped(0, toStopReason(reason), reason));
  }

  #addExtras(members: Record<string, unknown>): void {
    const { extras } = toExtras(members);
    if (extras !== undefined) this.extras = { ...this.extras, ...extras };
  }
}

/** One part stays byte for byte; of several each has its own padding. */
function joinBase64(parts: readonly string[]): string {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  return Buffer.concat(parts.map((part) => Buffer.from(part, "base64"))).toString("base64");
}
