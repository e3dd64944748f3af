import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  type Block,
  BlockSchema,
  CandidateSchema,
  type StopReason,
  UsageSchema,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import {
  BlockDeltaSchema,
  BlockStartedSchema,
  BlockStoppedSchema,
  CandidateStoppedSchema,
  type StreamResponse,
} from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import type { TypedAnswer } from "../../providers/dialect.ts";
import type { AnswerFacts } from "../caller-format.ts";

type Piece = StreamResponse["piece"];

export const FACTS: AnswerFacts = {
  eventId: "01890a5d-ac96-774b-bcce-b302099a8057",
  model: "large",
  createdAtS: 1_770_000_000,
  wantsUsage: true,
  inputTokens: 0,
};

export const USAGE = create(UsageSchema, {
  lines: [
    { meter: Meter.INPUT_TOKENS, quantity: 20n },
    { meter: Meter.CACHED_INPUT_TOKENS, quantity: 7n },
    { meter: Meter.CACHE_WRITE_TOKENS, quantity: 3n },
    { meter: Meter.OUTPUT_TOKENS, quantity: 15n },
    { meter: Meter.REASONING_TOKENS, quantity: 5n },
  ],
});

export const text = (value: string): Block =>
  create(BlockSchema, { content: { case: "text", value: { text: value } } });
export const refusal = (value: string): Block =>
  create(BlockSchema, { content: { case: "refusal", value: { text: value } } });
export const toolUse = (id: string, name: string, inputJson: string): Block =>
  create(BlockSchema, { content: { case: "toolUse", value: { id, name, inputJson } } });
export const reasoning = (value: { text?: string; signature?: string; redacted?: string }): Block =>
  create(BlockSchema, { content: { case: "reasoning", value } });

/** Blocks as models make them. */
export const anyBlocks = fc.array(
  fc.oneof(
    fc.string({ unit: "grapheme", minLength: 1 }).map(text),
    fc.string({ unit: "grapheme", minLength: 1 }).map(refusal),
    fc.tuple(fc.uuid(), fc.string({ unit: "grapheme" })).map(([id, input]) => toolUse(id, "measure", input)),
    fc.record({ text: fc.string({ unit: "grapheme" }), signature: fc.base64String({ minLength: 1 }) }).map(reasoning),
    fc.base64String({ minLength: 1 }).map((redacted) => reasoning({ redacted })),
  ),
  { maxLength: 8 },
);

/** A typed answer of one candidate. */
export function toAnswer(blocks: Block[], stopReason: StopReason): TypedAnswer {
  return { providerModel: "m", candidates: [create(CandidateSchema, { index: 0, blocks, stopReason })] };
}

/** The pieces in which such an answer is streamed; text comes in halves. */
export function toPieces(blocks: readonly Block[], stopReason: StopReason): Piece[] {
  const pieces = blocks.flatMap((block, index): Piece[] => {
    const { case: kind, value } = block.content;
    const deltas: { case: "text" | "inputJson" | "signature"; value: string }[] = [];
    let start = block;
    if (kind === "text" || kind === "refusal") {
      start = toStart({ case: kind, value: {} });
      deltas.push(...halve(value.text).map((half) => ({ case: "text" as const, value: half })));
    } else if (kind === "toolUse") {
      start = toStart({ case: kind, value: { id: value.id, name: value.name } });
      deltas.push(...halve(value.inputJson).map((half) => ({ case: "inputJson" as const, value: half })));
    } else if (kind === "reasoning") {
      start = toStart({ case: kind, value: { redacted: value.redacted } });
      deltas.push(...halve(value.text).map((half) => ({ case: "text" as const, value: half })));
      deltas.push(...halve(value.signature).map((half) => ({ case: "signature" as const, value: half })));
    }
    return [
      { case: "blockStarted", value: create(BlockStartedSchema, { index, block: start }) },
      ...deltas.map((delta): Piece => ({ case: "blockDelta", value: create(BlockDeltaSchema, { index, delta }) })),
      { case: "blockStopped", value: create(BlockStoppedSchema, { index }) },
    ];
  });
  return [...pieces, { case: "candidateStopped", value: create(CandidateStoppedSchema, { stopReason }) }];
}

function toStart(content: NonNullable<Exclude<MessageInitShape<typeof BlockSchema>, Block>["content"]>): Block {
  return create(BlockSchema, { content });
}

function halve(value: string): string[] {
  const characters = [...value];
  const middle = characters.length >> 1;
  return [characters.slice(0, middle).join(""), characters.slice(middle).join("")].filter((half) => half !== "");
}
