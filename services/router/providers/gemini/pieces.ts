import type { JsonObject } from "@bufbuild/protobuf";
import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { CandidateExtras } from "../candidate-extras.ts";
import type { PieceReader } from "../dialect.ts";
import { findCandidate, GrowingCandidate } from "../growing-candidate.ts";
import { listEventData, type Piece, toCandidateStopped, toDelta, toStopped } from "../pieces.ts";
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

/** A candidate while it is streamed. */
class OpenCandidate extends GrowingCandidate {
  usesTool = false;
}

/**
 * Makes typed pieces of the events of a streamed answer. Its events have no blocks: text and reasoning go on from event to event,
 * so a block begins where another kind of content does, and ends where the next begins, at a signature (see `codec.ts`), or with the candidate.
 * Uses of tools come whole.
 */
export class GeminiPieceReader implements PieceReader {
  readonly #candidates = new Map<number, OpenCandidate>();
  readonly #candidateExtras = new CandidateExtras("logprobsResult");
  #extras: JsonObject | undefined;
  /** Why the provider's filter blocked the prompt; empty when it did not. It may do so after a part of the answer. */
  #blockReason = "";
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
    const reason = this.#blockReason === "" ? StopReason.OTHER : StopReason.FILTERED;
    // Without any candidate one stands for the prompt that was blocked.
    if (this.#blockReason !== "" && this.#candidates.size === 0) this.#find(0);
    for (const candidate of this.#candidates.values()) {
      if (!candidate.isStopped) this.#stop(candidate, reason, this.#blockReason, pieces);
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
    if (isBlocked(event.promptFeedback)) this.#blockReason = toText(toObject(event.promptFeedback).blockReason);
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
    return findCandidate(this.#candidates, index, (found) => new OpenCandidate(found));
  }

  #take(candidate: OpenCandidate, part: ReadPart, pieces: Piece[]): void {
    if (part.kind === "whole") {
      candidate.endGrowing(pieces);
      if (part.signature !== "") this.#sign(candidate, part.signature, pieces);
      const block = candidate.begin(part.block, pieces);
      if (part.block.content.case === "toolUse") {
        candidate.usesTool = true;
        pieces.push(toDelta(candidate.index, block, { case: "inputJson", value: part.inputJson }));
      }
      pieces.push(toStopped(candidate.index, block));
      return;
    }
    candidate.say(part.kind, part.text, pieces);
    if (part.signature === "") return;
    // Reasoning that was said is signed itself; the signature of a text becomes reasoning without words.
    if (part.kind === "text") candidate.endGrowing(pieces);
    this.#sign(candidate, part.signature, pieces);
  }

  /** Signs the reasoning that grows, or reasoning without words. A signature closes what it signs: two of them can't be joined. */
  #sign(candidate: OpenCandidate, signature: string, pieces: Piece[]): void {
    const signed = candidate.grow("reasoning", pieces);
    pieces.push(toDelta(candidate.index, signed, { case: "signature", value: signature }));
    candidate.endGrowing(pieces);
  }

  #stop(candidate: OpenCandidate, stopReason: StopReason, providerStopReason: string, pieces: Piece[]): void {
    candidate.endGrowing(pieces);
    candidate.isStopped = true;
    pieces.push(toCandidateStopped(candidate.index, stopReason, providerStopReason));
  }
}
