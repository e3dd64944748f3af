import { create } from "@bufbuild/protobuf";
import { type Block, BlockSchema } from "../../../gen/weir/router/v1/chat_pb.ts";
import { type Piece, toDelta, toStarted, toStopped } from "./pieces.ts";

/** What can grow from event to event. */
export type GrowingKind = "text" | "reasoning" | "refusal";

/** Most candidates of one streamed answer that are followed, and most blocks of one that grow side by side. */
export const MOST_FOLLOWED = 1024;

/**
 * A candidate of a streamed answer whose events have no blocks: what is said goes on from event to event, so a block begins where another
 * kind of content does, and ends where the next begins. What happens to it is appended to the pieces that are handed in.
 */
export class GrowingCandidate {
  readonly index: number;
  isStopped = false;
  #nextBlock = 0;
  /** The block that grows; one at a time. */
  #growing: { readonly kind: GrowingKind; readonly block: number } | undefined;

  constructor(index: number) {
    this.index = index;
  }

  /** Begins a block. Returns its index. */
  begin(block: Block, pieces: Piece[]): number {
    const index = this.#nextBlock;
    this.#nextBlock += 1;
    pieces.push(toStarted(this.index, index, block));
    return index;
  }

  /** The block of this kind that grows; begins one, and ends what grew before, when that was of another kind. */
  grow(kind: GrowingKind, pieces: Piece[]): number {
    if (this.#growing?.kind !== kind) {
      this.endGrowing(pieces);
      const block = this.begin(create(BlockSchema, { content: { case: kind, value: {} } }), pieces);
      this.#growing = { kind, block };
    }
    return this.#growing.block;
  }

  /** Lets what grows of this kind go on with a text, if there is one. */
  say(kind: GrowingKind, text: string, pieces: Piece[]): void {
    if (text === "") return;
    pieces.push(toDelta(this.index, this.grow(kind, pieces), { case: "text", value: text }));
  }

  /** Ends what grows, if anything does. */
  endGrowing(pieces: Piece[]): void {
    if (this.#growing === undefined) return;
    pieces.push(toStopped(this.index, this.#growing.block));
    this.#growing = undefined;
  }
}

/** The candidate of an index, which comes from the provider; made when it is new. None for what is no index, or beyond what is followed. */
export function findCandidate<Candidate extends GrowingCandidate>(
  candidates: Map<number, Candidate>,
  index: number,
  make: (index: number) => Candidate,
): Candidate | undefined {
  const known = candidates.get(index);
  if (known !== undefined) return known;
  if (!Number.isInteger(index) || index < 0 || index >= MOST_FOLLOWED) return undefined;
  const candidate = make(index);
  candidates.set(index, candidate);
  return candidate;
}
