import { create } from "@bufbuild/protobuf";
import { type Block, BlockSchema, CandidateSchema, StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAnswer } from "../dialect.ts";
import { toExtras, toList, toObject, toText } from "../shape.ts";

/** Makes typed messages of an answer in one piece that was accepted before. Its shape is still the provider's: read tolerant. */
export function toTypedAnswer(body: Buffer): TypedAnswer {
  const answer = toObject(JSON.parse(body.toString("utf8")));
  const { choices, model, usage: _usage, object: _object, ...extras } = answer;
  return {
    providerModel: toText(model),
    candidates: toList(choices).map((choice, at) => {
      const { index, message, finish_reason, ...rest } = toObject(choice);
      const { blocks, extras: left } = toBlocks(toObject(message));
      return create(CandidateSchema, {
        index: typeof index === "number" ? index : at,
        blocks,
        stopReason: toStopReason(
          finish_reason,
          blocks.some(({ content }) => content.case === "refusal"),
        ),
        providerStopReason: toText(finish_reason),
        ...toExtras({ ...rest, ...left }),
      });
    }),
    ...toExtras(extras),
  };
}

function toBlocks(message: Record<string, unknown>): { blocks: Block[]; extras: Record<string, unknown> } {
  const { role: _role, content, refusal, tool_calls, reasoning_content, reasoning, ...extras } = message;
  const blocks: Block[] = [];
  const thought = toText(reasoning_content) || toText(reasoning);
  if (thought !== "") {
    blocks.push(create(BlockSchema, { content: { case: "reasoning", value: { text: thought } } }));
  }
  if (toText(content) !== "") {
    blocks.push(create(BlockSchema, { content: { case: "text", value: { text: toText(content) } } }));
  }
  if (toText(refusal) !== "") {
    blocks.push(create(BlockSchema, { content: { case: "refusal", value: { text: toText(refusal) } } }));
  }
  for (const call of toList(tool_calls)) {
    const { id, function: called } = toObject(call);
    const { name, arguments: inputJson } = toObject(called);
    const value = { id: toText(id), name: toText(name), inputJson: toText(inputJson) };
    blocks.push(create(BlockSchema, { content: { case: "toolUse", value } }));
  }
  return { blocks, extras };
}

const STOP_REASONS: Readonly<Record<string, StopReason>> = {
  stop: StopReason.END,
  length: StopReason.MAX_OUTPUT_TOKENS,
  tool_calls: StopReason.TOOL_USE,
  function_call: StopReason.TOOL_USE,
  content_filter: StopReason.FILTERED,
};

/**
 * The provider's `finish_reason` in Weir's words. A model that declines says so in `refusal` and finishes with `stop`; for formats that
 * have no refusal but as a reason to stop, that is one.
 */
export function toStopReason(reason: unknown, isRefused: boolean): StopReason {
  if (typeof reason !== "string" || !Object.hasOwn(STOP_REASONS, reason)) return StopReason.OTHER;
  const stop = STOP_REASONS[reason] ?? StopReason.OTHER;
  return isRefused && stop === StopReason.END ? StopReason.REFUSED : stop;
}
