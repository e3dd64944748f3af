import type { JsonObject } from "@bufbuild/protobuf";
import type { Block, Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { writeMarked } from "../../providers/reasoning-mark.ts";
import type { AnswerFacts, StreamWriter } from "../caller-format.ts";
import { toFinishReason, toId, toUsage } from "./write-answer.ts";

type Piece = StreamResponse["piece"];
type PieceOf<Kind> = Extract<Piece, { case: Kind }>["value"];

interface OpenBlock {
  readonly kind: Block["content"]["case"];
  readonly place: number;
  /** Of reasoning: whether its mark was written. */
  isMarked: boolean;
}

/** A candidate while it is written. */
interface OpenCandidate {
  /** What each open block is, and its place among those of its kind: of tool calls, of details of reasoning. */
  readonly blocks: Map<number, OpenBlock>;
  toolCalls: number;
  details: number;
  isFinished: boolean;
}

const DONE = "data: [DONE]\n\n";

/**
 * Writes a stream (https://platform.openai.com/docs/api-reference/chat/streaming): for each choice first its role, then what it says, at
 * last its one `finish_reason`; then the usage in a chunk of its own, if it was asked for, and `[DONE]`.
 */
export class ChatCompletionsWriter implements StreamWriter {
  readonly #base: JsonObject;
  readonly #wantsUsage: boolean;
  readonly #candidates = new Map<number, OpenCandidate>();

  constructor(facts: AnswerFacts) {
    const { createdAtS, model, wantsUsage } = facts;
    this.#base = { id: toId(facts), object: "chat.completion.chunk", created: createdAtS, model };
    this.#wantsUsage = wantsUsage;
  }

  write(pieces: readonly Piece[]): Buffer {
    let text = "";
    for (const piece of pieces) text += this.#writePiece(piece);
    return Buffer.from(text);
  }

  end(usage: Usage): Buffer {
    const last = this.#wantsUsage
      ? `data: ${JSON.stringify({ ...this.#base, choices: [], usage: toUsage(usage) })}\n\n`
      : "";
    return Buffer.from(last + DONE);
  }

  #writePiece(piece: Piece): string {
    switch (piece.case) {
      case "blockStarted":
        return this.#writeStart(piece.value);
      case "blockDelta":
        return this.#writeDelta(piece.value);
      case "blockStopped": {
        const { candidate, index } = piece.value;
        const block = this.#candidates.get(candidate)?.blocks.get(index);
        // Reasoning that nobody signed bears a mark, too.
        return block?.kind === "reasoning" && !block.isMarked ? this.#writeSignature(candidate, block, "") : "";
      }
      case "candidateStopped": {
        const { candidate, stopReason } = piece.value;
        const [open, role] = this.#open(candidate);
        if (open.isFinished) return role;
        open.isFinished = true;
        return role + this.#chunk(candidate, {}, toFinishReason(stopReason));
      }
      default:
        return "";
    }
  }

  /** The candidate, and the chunk with its role if it is new. */
  #open(index: number): [OpenCandidate, string] {
    const known = this.#candidates.get(index);
    if (known !== undefined) return [known, ""];
    const fresh = { blocks: new Map(), toolCalls: 0, details: 0, isFinished: false };
    this.#candidates.set(index, fresh);
    return [fresh, this.#chunk(index, { role: "assistant", content: "" })];
  }

  #writeStart({ candidate, index, block }: PieceOf<"blockStarted">): string {
    const content = block?.content;
    const [open, role] = this.#open(candidate);
    if (content === undefined) return role;
    const isUse = content.case === "toolUse";
    const place = isUse ? open.toolCalls++ : content.case === "reasoning" ? open.details++ : 0;
    const opened = { kind: content.case, place, isMarked: false };
    open.blocks.set(index, opened);
    if (isUse) {
      const { id, name, inputJson } = content.value;
      const call = { index: place, id, type: "function", function: { name, arguments: inputJson } };
      return role + this.#chunk(candidate, { tool_calls: [call] });
    }
    if (content.case === "reasoning") {
      const { text, signature, redacted } = content.value;
      if (redacted !== "") {
        opened.isMarked = true;
        const detail = { index: place, type: "reasoning.encrypted", data: writeMarked({ signature, redacted }) };
        return role + this.#chunk(candidate, { reasoning_details: [detail] });
      }
      const signed = signature === "" ? "" : this.#writeSignature(candidate, opened, signature);
      return role + this.#writeReasoning(candidate, place, text) + signed;
    }
    if (content.case === "text" || content.case === "refusal") {
      return role + this.#writeText(candidate, content.case, content.value.text);
    }
    return role;
  }

  #writeDelta({ candidate, index, delta }: PieceOf<"blockDelta">): string {
    const [open, role] = this.#open(candidate);
    const block = open.blocks.get(index);
    if (block === undefined) return role;
    const { kind, place } = block;
    if (delta.case === "signature") return role + this.#writeSignature(candidate, block, delta.value);
    if (delta.case === "inputJson") {
      return role + this.#chunk(candidate, { tool_calls: [{ index: place, function: { arguments: delta.value } }] });
    }
    const text = delta.value ?? "";
    if (kind === "reasoning") return role + this.#writeReasoning(candidate, place, text);
    return kind === "text" || kind === "refusal" ? role + this.#writeText(candidate, kind, text) : role;
  }

  #writeText(candidate: number, kind: "text" | "refusal", text: string): string {
    if (text === "") return "";
    return this.#chunk(candidate, kind === "text" ? { content: text } : { refusal: text });
  }

  /** As many servers have it, and once more where its signature will be found. Clients join the details by their index. */
  #writeReasoning(candidate: number, index: number, text: string): string {
    if (text === "") return "";
    const detail = { index, type: "reasoning.text", text };
    return this.#chunk(candidate, { reasoning_content: text, reasoning_details: [detail] });
  }

  /** Clients join a signature that comes in parts, so that the mark stands before the first only. */
  #writeSignature(candidate: number, block: OpenBlock, part: string): string {
    const signature = block.isMarked ? part : writeMarked({ signature: part, redacted: "" });
    block.isMarked = true;
    return this.#chunk(candidate, { reasoning_details: [{ index: block.place, type: "reasoning.text", signature }] });
  }

  #chunk(index: number, delta: JsonObject, finishReason: string | null = null): string {
    const choices = [{ index, delta, logprobs: null, finish_reason: finishReason }];
    return `data: ${JSON.stringify({ ...this.#base, choices, ...(this.#wantsUsage && { usage: null }) })}\n\n`;
  }
}
