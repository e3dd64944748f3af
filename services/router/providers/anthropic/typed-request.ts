import type { JsonObject } from "@bufbuild/protobuf";
import {
  type ChatInput,
  type Reasoning,
  type ResponseFormat,
  type Sampling,
  type Tool,
  type ToolChoice,
  ToolChoiceMode,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { writeInteger } from "../exact-json.ts";
import { toObject } from "../shape.ts";
import { isMeantForUs, keepExtras } from "./extras.ts";
import { parseSchema, refuse } from "./refuse.ts";
import { toSystem, toTurns } from "./typed-turns.ts";

/** What Weir itself writes at the top of a request; extras may not stand in its place, in whatever case. */
const OWN_KEYS = new Set([
  "model",
  "messages",
  "system",
  "max_tokens",
  "stream",
  "stop_sequences",
  "temperature",
  "top_p",
  "top_k",
  "tools",
  "tool_choice",
]);

/**
 * Writes a typed request as messages (https://platform.claude.com/docs/en/api/messages/create). `lose`s what that can't say: several
 * candidates, a seed, penalties, names of speakers, how closely to look at a picture, JSON without a schema, reasoning that another
 * provider signed. Throws ARGUMENT_INVALID for what is broken, such as a schema that is no JSON.
 */
export function composeTyped(input: ChatInput, asked: TypedAsk): Buffer {
  const { sampling, responseFormat, toolChoice } = input;
  for (const key of isMeantForUs(asked) ? Object.keys(input.extras ?? {}) : []) {
    if (OWN_KEYS.has(key.toUpperCase().toLowerCase())) throw refuse(`extras["${key}"]`, "has a field of its own");
  }
  if (input.candidates > 1) asked.lose("candidates", "can't be said in the Anthropic dialect: it answers once");
  if (sampling !== undefined) loseSampling(sampling, asked);
  const { metadata, thinking, output_config, ...extras } = keepExtras(input.extras, "", asked, KNOWN) ?? {};
  const said = {
    thinking: toThinking(input.reasoning, toObject(thinking)),
    output_config: toOutputConfig(input.reasoning, responseFormat, toObject(output_config), asked),
    metadata: { ...toObject(metadata), ...(input.endUser !== "" && { user_id: input.endUser }) },
  };
  const system = toSystem(input, asked);
  const tools = input.tools.flatMap((tool, index) => toTool(tool, `tools[${index}]`, asked));
  const body = {
    ...extras,
    model: asked.model,
    max_tokens: writeInteger(input.maxOutputTokens ?? asked.maxOutputTokens),
    ...(system !== undefined && { system }),
    messages: toTurns(input, asked),
    ...(asked.streamed && { stream: true }),
    ...(tools.length > 0 && { tools }),
    ...(toolChoice !== undefined && tools.length > 0 && { tool_choice: toToolChoice(toolChoice) }),
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => Object.keys(value).length > 0)),
    ...(sampling?.temperature !== undefined && sampling.temperature <= 1 && { temperature: sampling.temperature }),
    ...(sampling?.topP !== undefined && { top_p: sampling.topP }),
    ...(sampling?.topK !== undefined && { top_k: writeInteger(sampling.topK) }),
    ...(sampling !== undefined && sampling.stopSequences.length > 0 && { stop_sequences: sampling.stopSequences }),
  };
  return Buffer.from(JSON.stringify(body));
}

/** What other formats call and mean the same. */
const KNOWN = { service_tier: ["auto"] };

function loseSampling({ temperature, seed, frequencyPenalty, presencePenalty }: Sampling, { lose }: TypedAsk): void {
  const state = "can't be said in the Anthropic dialect";
  if (temperature !== undefined && temperature > 1)
    lose("sampling.temperature", "is at most 1 in the Anthropic dialect");
  if (seed !== undefined) lose("sampling.seed", state);
  if (frequencyPenalty !== undefined && frequencyPenalty !== 0) lose("sampling.frequency_penalty", state);
  if (presencePenalty !== undefined && presencePenalty !== 0) lose("sampling.presence_penalty", state);
}

/**
 * How much the model thinks (https://platform.claude.com/docs/en/build-with-claude/extended-thinking): a budget, or as it sees fit,
 * which `effort` of the output steers; "none" turns it off.
 */
function toThinking(reasoning: Reasoning | undefined, extras: Record<string, unknown>): Record<string, unknown> {
  if (reasoning === undefined || typeof extras.type === "string") return extras;
  if (reasoning.maxTokens > 0n) return { ...extras, type: "enabled", budget_tokens: writeInteger(reasoning.maxTokens) };
  return { ...extras, type: reasoning.effort === "none" ? "disabled" : "adaptive" };
}

const EFFORTS = new Set(["low", "medium", "high", "xhigh", "max"]);

function toOutputConfig(
  reasoning: Reasoning | undefined,
  format: ResponseFormat | undefined,
  extras: Record<string, unknown>,
  { lose }: TypedAsk,
): Record<string, unknown> {
  const effort = reasoning?.effort ?? "";
  const isKnown = EFFORTS.has(effort);
  if (effort !== "" && effort !== "none" && !isKnown)
    lose("reasoning.effort", `must be one of ${[...EFFORTS].join(", ")}`);
  return { ...extras, ...(isKnown && { effort }), ...(format !== undefined && toFormat(format, lose)) };
}

/** Answers in JSON (https://platform.claude.com/docs/en/build-with-claude/structured-outputs). The schema is always enforced. */
function toFormat({ form }: ResponseFormat, lose: TypedAsk["lose"]): Record<string, unknown> {
  if (form.case !== "jsonSchema") {
    lose("response_format.json_object", "can't be said in the Anthropic dialect without a schema");
    return {};
  }
  const { name, description, schemaJson } = form.value;
  const schema = parseSchema(schemaJson, "response_format.json_schema.schema_json");
  // What it is called and for is for the model, which reads the schema.
  return {
    format: {
      type: "json_schema",
      schema: { ...(name !== "" && { title: name }), ...(description !== "" && { description }), ...schema },
    },
  };
}

/** A tool of the caller's; one that the provider runs has its `type`, and all else, in extras. */
function toTool(
  { name, description, inputSchemaJson, strict, extras }: Tool,
  path: string,
  asked: TypedAsk,
): JsonObject[] {
  if (typeof extras?.type === "string" && extras.type !== "custom") {
    if (isMeantForUs(asked)) return [{ ...extras, ...(name !== extras.type && { name }) }];
    asked.lose(path, `is a tool of type "${extras.type}", which another provider runs`);
    return [];
  }
  const kept = keepExtras(extras, path, asked);
  const schema = inputSchemaJson === "" ? {} : parseSchema(inputSchemaJson, `${path}.input_schema_json`);
  const said = { name, ...(description !== "" && { description }), ...(strict && { strict }) };
  return [{ ...kept, ...said, input_schema: { ...schema, type: schema.type ?? "object" } }];
}

const MODES: Readonly<Record<number, string>> = {
  [ToolChoiceMode.AUTO]: "auto",
  [ToolChoiceMode.NONE]: "none",
  [ToolChoiceMode.ANY]: "any",
};

function toToolChoice({ choice, single }: ToolChoice): JsonObject {
  const said: JsonObject =
    choice.case === "tool"
      ? { type: "tool", name: choice.value }
      : { type: MODES[choice.value ?? ToolChoiceMode.AUTO] ?? "auto" };
  return { ...said, ...(single && said.type !== "none" && { disable_parallel_tool_use: true }) };
}
