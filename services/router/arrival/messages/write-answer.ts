import type { JsonObject } from "@bufbuild/protobuf";
import { StopReason, type Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAnswer } from "../../providers/dialect.ts";
import type { AnswerFacts } from "../caller-format.ts";
import { toContentBlock, toStopReason, toUsage } from "./write-block.ts";

/** Writes an answer in one piece (https://platform.claude.com/docs/en/api/messages#message). The format has one candidate. */
export function composeAnswer({ candidates }: TypedAnswer, usage: Usage, facts: AnswerFacts): Buffer {
  const [candidate] = candidates;
  const content = (candidate?.blocks ?? []).flatMap((block, index) => {
    const written = toContentBlock(block, toToolUseId(facts, index));
    return written === undefined ? [] : [written];
  });
  const usesTool = content.some(({ type }) => type === "tool_use");
  const answer = {
    ...toMessage(facts),
    content,
    stop_reason: toStopReason(candidate?.stopReason ?? StopReason.OTHER, usesTool),
    stop_sequence: candidate?.extras?.stop_sequence ?? null,
    usage: toUsage(usage),
  };
  return Buffer.from(JSON.stringify(answer));
}

/** The members of a message that are known when it begins. Its id is that of the call. */
export function toMessage({ eventId, model }: AnswerFacts): JsonObject {
  return { id: `msg_${eventId.replaceAll("-", "")}`, type: "message", role: "assistant", model };
}

/** An id for a tool use that has none: unique, and of the characters that Anthropic takes back. */
export function toToolUseId({ eventId }: AnswerFacts, index: number): string {
  return `toolu_${eventId.replaceAll("-", "")}_${index}`;
}
