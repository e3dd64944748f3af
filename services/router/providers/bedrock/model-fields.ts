import type { JsonObject } from "@bufbuild/protobuf";
import { type ChatInput, type Reasoning, ToolChoiceMode } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { writeInteger } from "../exact-json.ts";
import { toObject } from "../shape.ts";
import { findModelFamily, type ModelFamily } from "./model-family.ts";

/** How much effort each family can be told to make. */
const EFFORTS: Readonly<Record<ModelFamily, readonly string[]>> = {
  anthropic: ["low", "medium", "high", "xhigh", "max"],
  "amazon-nova": ["low", "medium", "high"],
  openai: ["low", "medium", "high"],
  other: [],
};

/** Extras of Anthropic's callers that Claude takes here, too: the rest of what they say of how it thinks. */
export const CLAUDE_EXTRAS = ["thinking", "output_config"] as const;

/** Whether extras of a request are Claude's own, and its caller knew it. */
export function takesClaudeExtras({ model, from }: TypedAsk): boolean {
  return findModelFamily(model) === "anthropic" && (from === undefined || from === "messages");
}

/**
 * What Converse has no field for, but some models take among `additionalModelRequestFields`: how much to reason, from how many of the
 * likeliest tokens to draw, and to use one tool at a time
 * (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html,
 * https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html,
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html). For other models it is lost.
 */
export function toModelFields(input: ChatInput, extras: Partial<JsonObject>, { model, lose }: TypedAsk): JsonObject {
  const { sampling, reasoning, toolChoice, tools } = input;
  const family = findModelFamily(model);
  const fields: JsonObject = {};
  for (const name of CLAUDE_EXTRAS) {
    const value = extras[name];
    if (value !== undefined) fields[name] = value;
  }
  if (sampling?.topK !== undefined) {
    if (family === "anthropic") fields.top_k = writeInteger(sampling.topK);
    else if (family === "amazon-nova") fields.inferenceConfig = { topK: writeInteger(sampling.topK) };
    else lose("sampling.top_k", "is not known to be taken by this model of Bedrock");
  }
  if (reasoning !== undefined) sayReasoning(reasoning, family, fields, lose);
  const { choice } = toolChoice ?? {};
  const mode = choice?.case === "mode" ? choice.value : undefined;
  if (toolChoice?.single && tools.length > 0 && mode !== ToolChoiceMode.NONE) {
    const isFree = mode === ToolChoiceMode.AUTO;
    // Beside a choice that forces a tool Bedrock refuses it: there would be two choices.
    if (family === "anthropic" && isFree) fields.tool_choice = { type: "auto", disable_parallel_tool_use: true };
    else lose("tool_choice.single", "is taken by Claude only, and only when it is free to use no tool");
  }
  return fields;
}

function sayReasoning(
  { maxTokens, effort }: Reasoning,
  family: ModelFamily,
  fields: JsonObject,
  lose: TypedAsk["lose"],
): void {
  if (maxTokens > 0n) {
    if (family === "anthropic") {
      fields.thinking = { ...asObject(fields.thinking), type: "enabled", budget_tokens: writeInteger(maxTokens) };
    } else lose("reasoning.max_tokens", "is not known to be taken by this model of Bedrock");
  }
  // None of these models reasons unless it is asked to; one that always does has no such word.
  if (effort === "none") return;
  if (family === "anthropic" && maxTokens === 0n) {
    // A kind that only Claude knows stands in extras whole.
    fields.thinking = { type: "adaptive", ...asObject(fields.thinking) };
  }
  if (effort === "") return;
  if (!EFFORTS[family].includes(effort)) lose("reasoning.effort", "is not known to be taken by this model of Bedrock");
  else if (family === "openai") fields.reasoning_effort = effort;
  else if (family === "amazon-nova") fields.reasoningConfig = { type: "enabled", maxReasoningEffort: effort };
  else fields.output_config = { ...asObject(fields.output_config), effort };
}

function asObject(value: unknown): JsonObject {
  return toObject(value) as JsonObject;
}
