import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Block, BlockSchema, CandidateSchema, StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAnswer } from "../dialect.ts";
import { parseExact } from "../exact-json.ts";
import { toExtras, toList, toObject, toText } from "../shape.ts";

/** Makes typed messages of an answer in one piece that was accepted before. Its shape is still the provider's: read tolerant. */
export function toTypedAnswer(body: Buffer): TypedAnswer {
  const answer = toObject(parseExact(body.toString("utf8")));
  const { type: _type, role: _role, model, content, stop_reason, stop_sequence, usage: _usage, ...extras } = answer;
  return {
    providerModel: toText(model),
    candidates: [
      create(CandidateSchema, {
        blocks: toList(content).map(toAnswerBlock),
        stopReason: toStopReason(stop_reason),
        providerStopReason: toText(stop_reason),
        ...toExtras({ stop_sequence }),
      }),
    ],
    ...toExtras(extras),
  };
}

/**
 * A block as a model writes it. One that has no typed form (a tool that runs at the provider, its result, a kind that nobody here
 * knows yet) is an empty text with all of it, its `type` included, in extras.
 */
export function toAnswerBlock(given: unknown): Block {
  const { type, ...members } = toObject(given);
  switch (type) {
    case "text": {
      const { text, ...rest } = members;
      return create(BlockSchema, { content: { case: "text", value: { text: toText(text) } }, ...toExtras(rest) });
    }
    case "thinking": {
      const { thinking, signature, ...rest } = members;
      const value = { text: toText(thinking), signature: toText(signature) };
      return create(BlockSchema, { content: { case: "reasoning", value }, ...toExtras(rest) });
    }
    case "redacted_thinking": {
      const { data, ...rest } = members;
      return create(BlockSchema, {
        content: { case: "reasoning", value: { redacted: toText(data) } },
        ...toExtras(rest),
      });
    }
    case "tool_use": {
      const { id, name, input, ...rest } = members;
      const value = { id: toText(id), name: toText(name), inputJson: JSON.stringify(input ?? {}) };
      return create(BlockSchema, { content: { case: "toolUse", value }, ...toExtras(rest) });
    }
    default:
      return create(BlockSchema, {
        content: { case: "text", value: {} },
        extras: { type: toText(type), ...members } as JsonObject,
      });
  }
}

const STOP_REASONS: ReadonlyMap<unknown, StopReason> = new Map([
  ["end_turn", StopReason.END],
  ["stop_sequence", StopReason.STOP_SEQUENCE],
  ["max_tokens", StopReason.MAX_OUTPUT_TOKENS],
  ["model_context_window_exceeded", StopReason.MAX_OUTPUT_TOKENS],
  ["tool_use", StopReason.TOOL_USE],
  ["pause_turn", StopReason.PAUSED],
  ["refusal", StopReason.REFUSED],
]);

/** The provider's `stop_reason` (https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons) in Weir's words. */
export function toStopReason(reason: unknown): StopReason {
  return STOP_REASONS.get(reason) ?? StopReason.OTHER;
}
