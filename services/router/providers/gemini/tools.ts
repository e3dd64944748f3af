import type { JsonObject } from "@bufbuild/protobuf";
import { type ChatInput, type Tool, ToolChoiceMode } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { toObject } from "../shape.ts";
import { CANNOT, type Lose, loseExtras, parseOrLose } from "./lose.ts";

/** What a function's declaration has beyond a tool's fields (https://ai.google.dev/api/caching#FunctionDeclaration). */
const KNOWN_EXTRAS = ["behavior", "response", "responseJsonSchema"];

/** Writes the tools, as one list of functions. Their schemas go as they are, in `parametersJsonSchema`, not in the smaller OpenAPI form. */
export function toTools(tools: readonly Tool[], lose: Lose): JsonObject[] {
  if (tools.length === 0) return [];
  return [{ functionDeclarations: tools.map((tool, index) => toFunction(tool, `tools[${index}]`, lose)) }];
}

function toFunction({ name, description, inputSchemaJson, extras }: Tool, field: string, lose: Lose): JsonObject {
  loseExtras(extras, `${field}.`, KNOWN_EXTRAS, lose);
  const known = KNOWN_EXTRAS.flatMap((key) => {
    const value = extras?.[key];
    return value === undefined || value === null ? [] : [[key, value] as const];
  });
  const schema = inputSchemaJson === "" ? undefined : parseOrLose(inputSchemaJson, `${field}.input_schema_json`, lose);
  return {
    ...Object.fromEntries(known),
    name,
    ...(description !== "" && { description }),
    ...(schema !== undefined && { parametersJsonSchema: schema }),
  };
}

const MODES: Readonly<Record<number, string>> = {
  [ToolChoiceMode.AUTO]: "AUTO",
  [ToolChoiceMode.NONE]: "NONE",
  [ToolChoiceMode.ANY]: "ANY",
};

/**
 * Writes `toolConfig` (https://ai.google.dev/api/caching#ToolConfig). Uses that must fit their schema are a mode (VALIDATED) of all
 * tools here, not a mark on one; where a tool must be used they fit anyway.
 */
export function toToolConfig(input: ChatInput, extras: JsonObject, lose: Lose): JsonObject | undefined {
  const { functionCallingConfig: given, ...more } = extras;
  if (given !== undefined) lose('extras["toolConfig"].functionCallingConfig', "has a field of its own: tool_choice");
  const { choice, single } = input.toolChoice ?? {};
  if (single) lose("tool_choice.single", CANNOT);
  const calling: JsonObject = {};
  if (choice?.case === "tool") {
    calling.mode = "ANY";
    calling.allowedFunctionNames = [choice.value];
  } else if (choice?.case === "mode") {
    calling.mode = MODES[choice.value] ?? "AUTO";
  }
  const isFree = calling.mode === undefined || calling.mode === "AUTO";
  if (isFree && input.tools.some(({ strict }) => strict)) calling.mode = "VALIDATED";
  if (calling.mode !== undefined) return { ...more, functionCallingConfig: calling };
  return Object.keys(toObject(more)).length === 0 ? undefined : more;
}
