import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";

/** Those of Converse, and those that its models hand on from their makers. */
const STOP_REASONS: ReadonlyMap<string, StopReason> = new Map([
  ["end_turn", StopReason.END],
  ["stop_sequence", StopReason.STOP_SEQUENCE],
  ["max_tokens", StopReason.MAX_OUTPUT_TOKENS],
  ["model_context_window_exceeded", StopReason.MAX_OUTPUT_TOKENS],
  ["tool_use", StopReason.TOOL_USE],
  ["guardrail_intervened", StopReason.FILTERED],
  ["content_filtered", StopReason.FILTERED],
  ["refusal", StopReason.REFUSED],
  ["pause_turn", StopReason.PAUSED],
]);

/** The provider's `stopReason` in Weir's words. */
export function toStopReason(reason: string): StopReason {
  return STOP_REASONS.get(reason) ?? StopReason.OTHER;
}
