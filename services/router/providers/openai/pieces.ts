import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Block, BlockSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { CandidateExtras } from "../candidate-extras.ts";
import type { PieceReader } from "../dialect.ts";
import { listEventData, type Piece, toCandidateStopped, toDelta, toStarted, toStopped } from "../pieces.ts";
import { toExtras, toList, toObject, toText } from "../shape.ts";
import { toStopReason } from "./typed-answer.ts";

type Kind = "text" | "reasoning" | "refusal";

/** A candidate while it is streamed. */
interface OpenCandidate {
  readonly index: number;
  nextBlock: number;
  /** The block of text, reasoning or refusal that grows; one at a time. */
  growing: { readonly kind: Kind; readonly block: number } | undefined;
  /** Blocks of tool uses by the provider's index; they grow until the candidate ends. */
  readonly tools: Map<number, number>;
  isRefused: boolean;
  isStopped: boolean;
}

/** Most candidates and tool uses of one answer that are followed. */
const MOST = 1024;

/**
 * Makes typed pieces of the events of a streamed chat. OpenAI's chunks have no blocks, so a block begins where another kind of
 * content does, and ends where the next begins or the candidate ends.
 */
export class OpenAiPieceReader implements PieceReader {
  readonly #candidates = new Map<number, OpenCandidate>();
  readonly #candidateExtras = new CandidateExtras("logprobs");
  #extras: JsonObject | undefined;
  providerModel = "";

  /** What only the dialect knows of the answer; of its candidates under `candidates`. */
  get extras(): JsonObject | undefined {
    return this.#candidateExtras.addTo(this.#extras);
  }

  read(bytes: Buffer): Piece[] {
    const pieces: Piece[] = [];
    for (const data of listEventData(bytes)) {
      if (data !== "[DONE]") this.#readEvent(toObject(JSON.parse(data)), pieces);
    }
    return pieces;
  }

  end(): Piece[] {
    const pieces: Piece[] = [];
    for (const candidate of this.#candidates.values()) {
      if (!candidate.isStopped) this.#stop(candidate, "", pieces);
    }
    return pieces;
  }

  #readEvent(event: Record<string, unknown>, pieces: Piece[]): void {
    const { choices, model, usage: _usage, object: _object, ...rest } = event;
    if (this.providerModel === "") this.providerModel = toText(model);
    const { extras } = toExtras(rest);
    if (extras !== undefined) this.#extras = { ...this.#extras, ...extras };
    for (const choice of toList(choices)) this.#readChoice(toObject(choice), pieces);
  }

  #readChoice({ index, delta, finish_reason, ...rest }: Record<string, unknown>, pieces: Piece[]): void {
    const candidate = this.#find(typeof index === "number" ? index : 0);
    if (candidate === undefined) return;
    this.#candidateExtras.add(candidate.index, rest);
    if (candidate.isStopped) return;
    const { content, refusal, reasoning_content, reasoning, tool_calls } = toObject(delta);
    this.#grow(candidate, "reasoning", toText(reasoning_content) || toText(reasoning), pieces);
    this.#grow(candidate, "text", toText(content), pieces);
    this.#grow(candidate, "refusal", toText(refusal), pieces);
    for (const [at, call] of toList(tool_calls).entries()) this.#growTool(candidate, toObject(call), at, pieces);
    if (typeof finish_reason === "string") this.#stop(candidate, finish_reason, pieces);
  }

  #find(index: number): OpenCandidate | undefined {
    let candidate = this.#candidates.get(index);
    if (
      candidate === undefined &&
      this.#candidates.size < MOST &&
      Number.isInteger(index) &&
      index >= 0 &&
      index < MOST
    ) {
      candidate = { index, nextBlock: 0, growing: undefined, tools: new Map(), isRefused: false, isStopped: false };
      this.#candidates.set(index, candidate);
    }
    return candidate;
  }

  #grow(candidate: OpenCandidate, kind: Kind, text: string, pieces: Piece[]): void {
    if (text === "") return;
    if (candidate.growing?.kind !== kind) {
      this.#endGrowing(candidate, pieces);
      const block = this.#begin(candidate, create(BlockSchema, { content: { case: kind, value: {} } }), pieces);
      candidate.growing = { kind, block };
      candidate.isRefused ||= kind === "refusal";
    }
    pieces.push(toDelta(candidate.index, candidate.growing.block, { case: "text", value: text }));
  }

  #growTool(candidate: OpenCandidate, call: Record<string, unknown>, at: number, pieces: Piece[]): void {
    const number = typeof call.index === "number" ? call.index : at;
    const { name, arguments: input } = toObject(call.function);
    let block = candidate.tools.get(number);
    if (block === undefined) {
      if (candidate.tools.size >= MOST) return;
      this.#endGrowing(candidate, pieces);
      const value = { id: toText(call.id), name: toText(name) };
      block = this.#begin(candidate, create(BlockSchema, { content: { case: "toolUse", value } }), pieces);
      candidate.tools.set(number, block);
    }
    const text = toText(input);
    if (text !== "") pieces.push(toDelta(candidate.index, block, { case: "inputJson", value: text }));
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

  #stop(candidate: OpenCandidate, reason: string, pieces: Piece[]): void {
    this.#endGrowing(candidate, pieces);
    for (const block of candidate.tools.values()) pieces.push(toStopped(candidate.index, block));
    candidate.isStopped = true;
    pieces.push(toCandidateStopped(candidate.index, toStopReason(reason, candidate.isRefused), reason));
  }
}
