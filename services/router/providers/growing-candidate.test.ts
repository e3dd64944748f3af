import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { BlockSchema } from "../../../gen/weir/router/v1/chat_pb.ts";
import { findCandidate, GrowingCandidate, MOST_FOLLOWED } from "./growing-candidate.ts";
import type { Piece } from "./pieces.ts";

const toolUse = create(BlockSchema, { content: { case: "toolUse", value: { id: "call-1", name: "search" } } });

/** What was said of blocks, in short: "started 0 text", "grew 0", "stopped 0". */
function tell(pieces: Piece[]): string[] {
  return pieces.map((piece) => {
    if (piece.case === "blockStarted") return `started ${piece.value.index} ${piece.value.block?.content.case}`;
    if (piece.case === "blockDelta") return `grew ${piece.value.index}`;
    return piece.case === "blockStopped" ? `stopped ${piece.value.index}` : String(piece.case);
  });
}

describe("a growing candidate", () => {
  it("goes on with its block as long as the same kind of content comes", () => {
    const pieces: Piece[] = [];
    const candidate = new GrowingCandidate(0);

    candidate.say("text", "How ", pieces);
    candidate.say("text", "deep", pieces);

    expect(tell(pieces)).toEqual(["started 0 text", "grew 0", "grew 0"]);
  });

  it("ends its block where another kind of content begins, and begins the next", () => {
    const pieces: Piece[] = [];
    const candidate = new GrowingCandidate(0);

    candidate.say("reasoning", "Well", pieces);
    candidate.say("text", "deep", pieces);
    candidate.endGrowing(pieces);
    candidate.begin(toolUse, pieces);

    expect(tell(pieces)).toEqual([
      "started 0 reasoning",
      "grew 0",
      "stopped 0",
      "started 1 text",
      "grew 1",
      "stopped 1",
      "started 2 toolUse",
    ]);
  });

  it("begins nothing for an empty text, and ends nothing when nothing grows", () => {
    const pieces: Piece[] = [];
    const candidate = new GrowingCandidate(0);

    candidate.say("text", "", pieces);
    candidate.endGrowing(pieces);

    expect(pieces).toEqual([]);
  });
});

describe("findCandidate()", () => {
  const make = (index: number) => new GrowingCandidate(index);

  it("finds the candidate that it made before", () => {
    const candidates = new Map<number, GrowingCandidate>();

    const made = findCandidate(candidates, 3, make);

    expect(made?.index).toBe(3);
    expect(findCandidate(candidates, 3, make)).toBe(made);
  });

  it.each([-1, 0.5, Number.NaN, MOST_FOLLOWED])("makes none for %d, which is no index that is followed", (index) => {
    expect(findCandidate(new Map(), index, make)).toBeUndefined();
  });
});
