import type { JsonObject } from "@bufbuild/protobuf";
import { type Block, type Candidate, StopReason, type Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import type { TypedAnswer } from "../../providers/dialect.ts";
import { writeMarked } from "../../providers/reasoning-mark.ts";
import type { AnswerFacts } from "../caller-format.ts";

/**
 * Writes an answer in one piece (https://platform.openai.com/docs/api-reference/chat/object). Reasoning stands in `reasoning_content`, as
 * many servers have it, and with its signatures in `reasoning_details`, as OpenRouter has it
 * (https://openrouter.ai/docs/use-cases/reasoning-tokens), marked: a caller who sends the message back sends them back unchanged.
 */
export function composeAnswer({ candidates }: TypedAnswer, usage: Usage, facts: AnswerFacts): Buffer {
  const answer = {
    id: toId(facts),
    object: "chat.completion",
    created: facts.createdAtS,
    model: facts.model,
    choices: candidates.map(toChoice),
    usage: toUsage(usage),
  };
  return Buffer.from(JSON.stringify(answer));
}

/** The id of an answer: that of its call. */
export function toId({ eventId }: AnswerFacts): string {
  return `chatcmpl-${eventId}`;
}

function toChoice({ index, blocks, stopReason }: Candidate): JsonObject {
  const texts = { text: "", refusal: "", reasoning: "" };
  const uses: JsonObject[] = [];
  const details: JsonObject[] = [];
  for (const { content } of blocks) {
    if (content.case === "text") texts.text += content.value.text;
    else if (content.case === "refusal") texts.refusal += content.value.text;
    else if (content.case === "reasoning") {
      texts.reasoning += content.value.text;
      details.push(toReasoningDetail(content.value, details.length));
    } else if (content.case === "toolUse") uses.push(toToolCall(content.value));
  }
  const message = {
    role: "assistant",
    content: texts.text === "" && (uses.length > 0 || texts.refusal !== "") ? null : texts.text,
    refusal: texts.refusal === "" ? null : texts.refusal,
    ...(texts.reasoning !== "" && { reasoning_content: texts.reasoning }),
    ...(details.length > 0 && { reasoning_details: details }),
    ...(uses.length > 0 && { tool_calls: uses }),
  };
  return { index, message, logprobs: null, finish_reason: toFinishReason(stopReason) };
}

type BlockOf<Kind> = Extract<Block["content"], { case: Kind }>["value"];

function toToolCall({ id, name, inputJson }: BlockOf<"toolUse">): JsonObject {
  return { id, type: "function", function: { name, arguments: inputJson === "" ? "{}" : inputJson } };
}

function toReasoningDetail({ text, signature, redacted }: BlockOf<"reasoning">, index: number): JsonObject {
  const marked = writeMarked({ signature, redacted });
  if (redacted !== "") return { index, type: "reasoning.encrypted", data: marked };
  return { index, type: "reasoning.text", text, signature: marked };
}

const FINISH_REASONS: Readonly<Partial<Record<StopReason, string>>> = {
  [StopReason.MAX_OUTPUT_TOKENS]: "length",
  [StopReason.TOOL_USE]: "tool_calls",
  [StopReason.FILTERED]: "content_filter",
  [StopReason.REFUSED]: "content_filter",
};

/** Why a candidate ended, in the words that clients of OpenAI know. */
export function toFinishReason(reason: StopReason): string {
  return FINISH_REASONS[reason] ?? "stop";
}

/** The usage, with cached tokens among those of the prompt and reasoning among those of the completion, as OpenAI counts. */
export function toUsage({ lines }: Usage): JsonObject {
  const count = (meter: Meter) =>
    lines.reduce((sum, line) => (line.meter === meter ? sum + Number(line.quantity) : sum), 0);
  const cached = count(Meter.CACHED_INPUT_TOKENS);
  const written = count(Meter.CACHE_WRITE_TOKENS);
  const reasoning = count(Meter.REASONING_TOKENS);
  const prompt = count(Meter.INPUT_TOKENS) + cached + written;
  const completion = count(Meter.OUTPUT_TOKENS) + reasoning;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached, ...(written > 0 && { cache_write_tokens: written }) },
    completion_tokens_details: { reasoning_tokens: reasoning },
  };
}
