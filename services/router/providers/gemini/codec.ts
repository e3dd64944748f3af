import { create } from "@bufbuild/protobuf";
import {
  type Block,
  BlockSchema,
  type Candidate,
  CandidateSchema,
  StopReason,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAnswer } from "../dialect.ts";
import { toList, toObject, toText } from "../shape.ts";
import {
  findExact,
  isBlocked,
  listParts,
  readPart,
  toAnswerExtras,
  toCandidateExtras,
  toIndex,
  toStopReason,
} from "./parts.ts";

/** Makes typed messages of an answer in one piece that was accepted before. Its shape is still the provider's: read tolerant. */
export function toTypedAnswer(body: Buffer): TypedAnswer {
  const text = body.toString("utf8");
  const answer = toObject(JSON.parse(text));
  const { candidates, promptFeedback, modelVersion } = answer;
  const exact = toList(findExact(text).candidates);
  const given = toList(candidates).map((candidate, at) => toCandidate(toObject(candidate), exact[at] ?? candidate));
  return {
    providerModel: toText(modelVersion),
    candidates: given.length === 0 && isBlocked(promptFeedback) ? [toBlocked(promptFeedback)] : given,
    ...toAnswerExtras(answer),
  };
}

/** `exact` is the same candidate with its numbers kept. */
function toCandidate(candidate: Record<string, unknown>, exact: unknown): Candidate {
  const blocks = toBlocks(listParts(exact));
  const reason = toText(candidate.finishReason);
  const usesTool = blocks.some(({ content }) => content.case === "toolUse");
  return create(CandidateSchema, {
    index: toIndex(candidate),
    blocks,
    stopReason: toStopReason(reason, usesTool),
    providerStopReason: reason,
    ...toCandidateExtras(candidate),
  });
}

/** The one candidate that stands for a prompt which the provider's filter blocked. */
function toBlocked(feedback: unknown): Candidate {
  const { blockReason } = toObject(feedback);
  return create(CandidateSchema, { stopReason: StopReason.FILTERED, providerStopReason: toText(blockReason) });
}

/**
 * Parts of one kind that follow each other are one block, as they are when they are streamed. The signature of a part that is no
 * reasoning becomes reasoning without words: behind a text, where streams bring it, and before all else, such as a use of a tool.
 * Every format that callers write sends reasoning back, but not what else a use of a tool may have.
 */
function toBlocks(parts: readonly unknown[]): Block[] {
  const blocks: Block[] = [];
  let growing: { text: string; signature: string } | undefined;
  let kind = "";
  for (const given of parts) {
    const part = readPart(given);
    if (part.kind === "whole") {
      growing = undefined;
      if (part.signature !== "") blocks.push(toSigned(part.signature));
      if (part.block.content.case === "toolUse") part.block.content.value.inputJson = part.inputJson;
      blocks.push(part.block);
      continue;
    }
    const { text, signature } = part;
    if (text !== "") {
      if (growing === undefined || kind !== part.kind) {
        const block = create(BlockSchema, { content: { case: part.kind, value: {} } });
        blocks.push(block);
        growing = block.content.value as { text: string; signature: string };
        kind = part.kind;
      }
      growing.text += text;
    }
    if (signature === "") continue;
    if (growing !== undefined && kind === "reasoning" && part.kind === "reasoning") {
      growing.signature = signature;
    } else {
      blocks.push(toSigned(signature));
    }
    // A signature closes what it signs: two of them can't be joined.
    growing = undefined;
  }
  return blocks;
}

function toSigned(signature: string): Block {
  return create(BlockSchema, { content: { case: "reasoning", value: { signature } } });
}
