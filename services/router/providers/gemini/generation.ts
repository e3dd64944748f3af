import type { JsonObject } from "@bufbuild/protobuf";
import type { ChatInput } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { writeInteger } from "../exact-json.ts";
import { toObject } from "../shape.ts";
import { CANNOT, type Lose, parseOrLose } from "./lose.ts";
import { readTraits } from "./model.ts";

/** Members of `generationConfig` that typed fields write; extras may not stand in their place. */
const OWN_KEYS = [
  "maxOutputTokens",
  "temperature",
  "topP",
  "topK",
  "stopSequences",
  "seed",
  "frequencyPenalty",
  "presencePenalty",
  "candidateCount",
  "responseMimeType",
  "responseSchema",
  "responseJsonSchema",
];

/** Budgets that stand for an effort, as Google's own OpenAI-compatible endpoint has them (https://ai.google.dev/gemini-api/docs/openai#thinking). */
const BUDGETS: Readonly<Record<string, number>> = { none: 0, minimal: 1024, low: 1024, medium: 8192, high: 24_576 };
const LEVELS: Readonly<Record<string, string>> = { minimal: "MINIMAL", low: "LOW", medium: "MEDIUM", high: "HIGH" };

/** Largest seed; the dialect has 32 bits for it. */
const MAX_SEED = 2n ** 31n - 1n;

/** Writes `generationConfig` (https://ai.google.dev/api/generate-content#generationconfig); undefined when nothing is asked for. */
export function toGenerationConfig(
  input: ChatInput,
  extras: JsonObject,
  model: string,
  lose: Lose,
): JsonObject | undefined {
  const { sampling } = input;
  const { thinkingConfig, ...more } = extras;
  for (const key of OWN_KEYS) {
    if (more[key] === undefined) continue;
    lose(`extras["generationConfig"].${key}`, "has a field of its own");
    delete more[key];
  }
  const thinking = { ...toObject(thinkingConfig), ...toThinking(input, model, lose) } as JsonObject;
  const config: JsonObject = {
    ...more,
    ...(input.maxOutputTokens !== undefined && { maxOutputTokens: writeInteger(input.maxOutputTokens) }),
    ...(sampling?.temperature !== undefined && { temperature: sampling.temperature }),
    ...(sampling?.topP !== undefined && { topP: sampling.topP }),
    ...(sampling?.topK !== undefined && { topK: writeInteger(sampling.topK) }),
    ...(sampling !== undefined && sampling.stopSequences.length > 0 && { stopSequences: sampling.stopSequences }),
    ...toSeed(sampling?.seed, lose),
    ...(sampling?.frequencyPenalty !== undefined && { frequencyPenalty: sampling.frequencyPenalty }),
    ...(sampling?.presencePenalty !== undefined && { presencePenalty: sampling.presencePenalty }),
    ...(input.candidates > 1 && { candidateCount: input.candidates }),
    ...toResponseFormat(input, lose),
    ...(Object.keys(thinking).length > 0 && { thinkingConfig: thinking }),
  };
  return Object.keys(config).length === 0 ? undefined : config;
}

function toSeed(seed: bigint | undefined, lose: Lose): JsonObject {
  if (seed === undefined) return {};
  if (seed >= -MAX_SEED - 1n && seed <= MAX_SEED) return { seed: Number(seed) };
  lose("sampling.seed", "has more than the 32 bits of the Gemini dialect");
  return {};
}

/** Name and description of a schema have no place beside it, but JSON Schema has one for them within. */
function toResponseFormat({ responseFormat }: ChatInput, lose: Lose): JsonObject {
  const form = responseFormat?.form;
  if (form === undefined || form.case === undefined) return {};
  const responseMimeType = "application/json";
  if (form.case === "jsonObject") return { responseMimeType };
  const { name, schemaJson, description } = form.value;
  const schema = parseOrLose(schemaJson, "response_format.json_schema.schema_json", lose);
  if (schema === undefined) return { responseMimeType };
  const titled = {
    ...(name !== "" && { title: name }),
    ...(description !== "" && { description }),
    ...schema,
  };
  return { responseMimeType, responseJsonSchema: titled };
}

/**
 * Writes how much is reasoned. Who asks for reasoning gets to see it, as far as the provider shows it. A number of tokens counts
 * before an effort: both together are refused.
 */
function toThinking({ reasoning }: ChatInput, model: string, lose: Lose): JsonObject {
  if (reasoning === undefined || (reasoning.effort === "" && reasoning.maxTokens === 0n)) return {};
  const { effort, maxTokens } = reasoning;
  if (maxTokens > 0n) {
    if (effort !== "") lose("reasoning.effort", "can't be said beside max_tokens in the Gemini dialect");
    return { includeThoughts: true, thinkingBudget: writeInteger(maxTokens) };
  }
  const by = readTraits(model).reasoning;
  if (by === "budget" && Object.hasOwn(BUDGETS, effort)) {
    const thinkingBudget = BUDGETS[effort]!;
    return thinkingBudget === 0 ? { thinkingBudget } : { includeThoughts: true, thinkingBudget };
  }
  if (by === "level" && Object.hasOwn(LEVELS, effort)) {
    return { includeThoughts: true, thinkingLevel: LEVELS[effort]! };
  }
  // What does not reason needs not be told so.
  if (by === "none" && effort === "none") return {};
  lose("reasoning.effort", `"${effort}" ${CANNOT} to this model`);
  return {};
}
