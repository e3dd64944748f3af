import type { JsonObject } from "@bufbuild/protobuf";
import type { ChatInput } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { findModelFamily } from "./model-family.ts";

/**
 * What Converse has no field for, but some models take among `additionalModelRequestFields`: how much to reason, and from how many
 * of the likeliest tokens to draw
 * (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html,
 * https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html,
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html). For other models it is lost.
 */
export function toModelFields({ sampling, reasoning }: ChatInput, { model, lose }: TypedAsk): JsonObject {
  const family = findModelFamily(model);
  const fields: JsonObject = {};
  if (sampling?.topK !== undefined) {
    if (family === "anthropic") fields.top_k = Number(sampling.topK);
    else if (family === "amazon-nova") fields.inferenceConfig = { topK: Number(sampling.topK) };
    else lose("sampling.top_k", "is not known to be taken by this model of Bedrock");
  }
  if (reasoning === undefined) return fields;
  const { maxTokens, effort } = reasoning;
  if (maxTokens > 0n) {
    if (family === "anthropic") fields.thinking = { type: "enabled", budget_tokens: Number(maxTokens) };
    else lose("reasoning.max_tokens", "is not known to be taken by this model of Bedrock");
  }
  // None of these models reasons unless it is asked to; one that always does has no such word.
  if (effort === "" || effort === "none") return fields;
  if (family === "openai") fields.reasoning_effort = effort;
  else if (family === "amazon-nova") fields.reasoningConfig = { type: "enabled", maxReasoningEffort: effort };
  else if (family === "anthropic") fields.output_config = { effort };
  else lose("reasoning.effort", "is not known to be taken by this model of Bedrock");
  if (family === "anthropic" && maxTokens === 0n) fields.thinking = { type: "adaptive" };
  return fields;
}
