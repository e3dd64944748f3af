import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Block, BlockSchema, StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { CandidateExtras } from "../candidate-extras.ts";
import type { PieceReader } from "../dialect.ts";
import { listEventData, type Piece, toCandidateStopped, toDelta, toStarted, toStopped } from "../pieces.ts";
import { toList, toObject, toText } from "../shape.ts";
import {
  findExact,
  isBlocked,
  listParts,
  type ReadPart,
  readPart,
  toAnswerExtras,
  toCandidateExtras,
  toIndex,
  toStopReason,
} from "./parts.ts";

type Kind = "text" | "reasoning";

/** A candidate while it is streamed. */
interface OpenCandidate {
  readonly index: number;
  nextBlock: number;
  /** The block of text or reasoning that grows; one at a time. */
  growing: { readonly kind: Kind; readonly block: number } | undefined;
  usesTool: boolean;
  isStopped: boolean;
}

/** Most candidates of one answer that are followed. */
const MOST = 1024;

/**
 * Makes typed pieces of the events of a streamed answer. Its events have no blocks: text and reasoning go on from event to event,
 * so a block begins where another kind of content does, and ends where the next begins, at a signature (see `codec.ts`), or with the candidate.
 * Uses of tools come whole.
 */
export class GeminiPieceReader implements PieceReader {
  readonly #candidates = new Map<number, OpenCandidate>();
  readonly #candidateExtras = new CandidateExtras("logprobsResult");
  #extras: JsonObject | undefined;
  providerModel = "";

  /** What only the dialect knows of the answer; of its candidates under `candidates`. */
  get extras(): JsonObject | undefined {
    return this.#candidateExtras.addTo(this.#extras);
  }

  read(bytes: Buffer): Piece[] {
    const pieces: Piece[] = [];
    for (const data of listEventData(bytes)) this.#readEvent(toObject(JSON.parse(data)), findExact(data), pieces);
    return pieces;
  }

  end(): Piece[] {
    const pieces: Piece[] = [];
    for (const candidate of this.#candidates.values()) {
      if (!candidate.isStopped) this.#stop(candidate, StopReason.OTHER, "", pieces);
    }
    return pieces;
  }

  #readEvent(event: Record<string, unknown>, exact: Record<string, unknown>, pieces: Piece[]): void {
    if (this.providerModel === "") this.providerModel = toText(event.modelVersion);
    const { extras } = toAnswerExtras(event);
    if (extras !== undefined) this.#extras = { ...this.#extras, ...extras };
    const exactCandidates = toList(exact.candidates);
    for (const [at, candidate] of toList(event.candidates).entries()) {
      this.#readCandidate(toObject(candidate), exactCandidates[at] ?? candidate, pieces);
    }
    if (isBlocked(event.promptFeedback) && this.#candidates.size === 0) {
      const blocked = this.#find(0);
      const { blockReason } = toObject(event.promptFeedback);
      if (blocked !== undefined) this.#stop(blocked, StopReason.FILTERED, toText(blockReason), pieces);
    }
  }

  #readCandidate(given: Record<string, unknown>, exact: unknown, pieces: Piece[]): void {
    const candidate = this.#find(toIndex(given));
    if (candidate === undefined) return;
    this.#candidateExtras.add(candidate.index, toCandidateExtras(given).extras ?? {});
    if (candidate.isStopped) return;
    for (const part of listParts(exact)) this.#take(candidate, readPart(part), pieces);
    const reason = given.finishReason;
    if (typeof reason === "string") this.#stop(candidate, toStopReason(reason, candidate.usesTool), reason, pieces);
  }

  #find(index: number): OpenCandidate | undefined {
    let candidate = this.#candidates.get(index);
    if (candidate === undefined && this.#candidates.size < MOST && index < MOST) {
      candidate = { index, nextBlock: 0, growing: undefined, usesTool: false, isStopped: false };
      this.#candidates.set(index, candidate);
    }
    return candidate;
  }

  #take(candidate: OpenCandidate, part: ReadPart, pieces: Piece[]): void {
    if (part.kind === "whole") {
      this.#endGrowing(candidate, pieces);
      if (part.signature !== "") this.#sign(candidate, part.signature, pieces);
      const block = this.#begin(candidate, part.block, pieces);
      if (part.block.content.case === "toolUse") {
        candidate.usesTool = true;
        pieces.push(toDelta(candidate.index, block, { case: "inputJson", value: part.inputJson }));
      }
      pieces.push(toStopped(candidate.index, block));
      return;
    }
    if (part.text !== "") {
      const block = this.#grow(candidate, part.kind, pieces);
      pieces.push(toDelta(candidate.index, block, { case: "text", value: part.text }));
    }
    if (part.signature === "") return;
    // Reasoning that was said is signed itself; the signature of a text becomes reasoning without words.
    if (part.kind === "text") this.#endGrowing(candidate, pieces);
    this.#sign(candidate, part.signature, pieces);
  }

  /** Signs the reasoning that grows, or reasoning without words. A signature closes what it signs: two of them can't be joined. */
  #sign(candidate: OpenCandidate, signature: string, pieces: Piece[]): void {
    const signed = this.#grow(candidate, "reasoning", pieces);
    pieces.push(toDelta(candidate.index, signed, { case: "signature", value: signature }));
    this.#endGrowing(candidate, pieces);
  }

  #grow(candidate: OpenCandidate, kind: Kind, pieces: Piece[]): number {
    if (candidate.growing?.kind !== kind) {
      this.#endGrowing(candidate, pieces);
      const block = this.#begin(candidate, create(BlockSchema, { content: { case: kind, value: {} } }), pieces);
      candidate.growing = { kind, block };
    }
    return candidate.growing.block;
  }

  #begin(candidate: OpenCandidate, block: Block, pieces: Piece[]): number {
    const index = candidate.nextBlock;
    candidate.nextBlock += 1;
    pieces.push(toStarted(candidate.index, index, block));
    return index;
  }

  #endGrowing(candidate: OpenCandidate, pieces: Piece[]): void {
    if (candidate.growing === undefined) return;
    pieces.push(toStopped(candidate.index, candidate.growing.block));
    candidate.growing = undefined;
  }

  #stop(candidate: OpenCandidate, stopReason: StopReason, providerStopReason: string, pieces: Piece[]): void {
    this.#endGrowing(candidate, pieces);
    candidate.isStopped = true;
    pieces.push(toCandidateStopped(candidate.index, stopReason, providerStopReason));
  }
}
