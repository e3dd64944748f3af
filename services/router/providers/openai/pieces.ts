import { create, type JsonObject } from "@bufbuild/protobuf";
import { BlockSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { CandidateExtras } from "../candidate-extras.ts";
import type { PieceReader } from "../dialect.ts";
import { findCandidate, GrowingCandidate, MOST_FOLLOWED } from "../growing-candidate.ts";
import { listEventData, type Piece, toCandidateStopped, toDelta, toStopped } from "../pieces.ts";
import { toExtras, toList, toObject, toText } from "../shape.ts";
import { toStopReason } from "./typed-answer.ts";

/** A candidate while it is streamed. */
class OpenCandidate extends GrowingCandidate {
  /** Uses of tools by the provider's index, the last one of each; their blocks grow until the candidate ends. */
  readonly tools = new Map<number, { readonly id: string; readonly block: number }>();
  /** The blocks of all of them. */
  readonly toolBlocks: number[] = [];
  isRefused = false;
}

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
    const at = typeof index === "number" ? index : 0;
    const candidate = findCandidate(this.#candidates, at, (found) => new OpenCandidate(found));
    if (candidate === undefined) return;
    this.#candidateExtras.add(candidate.index, rest);
    if (candidate.isStopped) return;
    const { content, refusal, reasoning_content, reasoning, tool_calls } = toObject(delta);
    candidate.say("reasoning", toText(reasoning_content) || toText(reasoning), pieces);
    candidate.say("text", toText(content), pieces);
    candidate.say("refusal", toText(refusal), pieces);
    candidate.isRefused ||= toText(refusal) !== "";
    for (const [place, call] of toList(tool_calls).entries()) this.#growTool(candidate, toObject(call), place, pieces);
    // Some servers say an empty one until there is one.
    if (toText(finish_reason) !== "") this.#stop(candidate, toText(finish_reason), pieces);
  }

  #growTool(candidate: OpenCandidate, call: Record<string, unknown>, at: number, pieces: Piece[]): void {
    const number = typeof call.index === "number" ? call.index : at;
    const { name, arguments: input } = toObject(call.function);
    const value = { id: toText(call.id), name: toText(name) };
    let use = candidate.tools.get(number);
    // Servers that send whole uses may number none of them, or all alike: another id with a name is another use.
    if (use === undefined || (value.name !== "" && value.id !== "" && value.id !== use.id)) {
      if (candidate.toolBlocks.length >= MOST_FOLLOWED) return;
      candidate.endGrowing(pieces);
      const block = candidate.begin(create(BlockSchema, { content: { case: "toolUse", value } }), pieces);
      use = { id: value.id, block };
      candidate.tools.set(number, use);
      candidate.toolBlocks.push(block);
    }
    const text = toText(input);
    if (text !== "") pieces.push(toDelta(candidate.index, use.block, { case: "inputJson", value: text }));
  }

  #stop(candidate: OpenCandidate, reason: string, pieces: Piece[]): void {
    candidate.endGrowing(pieces);
    for (const block of candidate.toolBlocks) pieces.push(toStopped(candidate.index, block));
    candidate.isStopped = true;
    pieces.push(toCandidateStopped(candidate.index, toStopReason(reason, candidate.isRefused), reason));
  }
}
