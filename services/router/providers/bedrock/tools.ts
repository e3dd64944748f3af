import type { JsonObject } from "@bufbuild/protobuf";
import {
  type ChatInput,
  type Message,
  type Tool,
  type ToolChoice,
  ToolChoiceMode,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { parseObject } from "../parse-object.ts";
import { CACHE_EXTRAS, toCachePoint } from "./cache-point.ts";
import { takeExtras } from "./lose-extras.ts";
import { refuse } from "./refuse.ts";

/**
 * Writes the tools and the choice among them (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html);
 * undefined when there are none.
 */
export function toToolConfig({ tools, toolChoice, messages }: ChatInput, asked: TypedAsk): JsonObject | undefined {
  if (toolChoice?.choice.case === "mode" && toolChoice.choice.value === ToolChoiceMode.NONE && tools.length > 0) {
    // Without a choice that forbids them, the only way not to have a tool used is not to have it.
    if (!messages.some(usesTools)) return undefined;
    asked.lose("tool_choice", "can't forbid tools in Converse when the conversation has used them");
  }
  const written = tools.flatMap((tool, index) => toTool(tool, `tools[${index}]`, asked));
  if (written.length === 0) {
    if (toolChoice?.choice.case === "tool") asked.lose("tool_choice", "names a tool, but there is none");
    return undefined;
  }
  const choice = toolChoice === undefined ? undefined : toToolChoice(toolChoice);
  return { tools: written, ...(choice !== undefined && { toolChoice: choice }) };
}

function usesTools({ blocks }: Message): boolean {
  return blocks.some(({ content }) => content.case === "toolUse" || content.case === "toolResult");
}

function toToolChoice({ choice }: ToolChoice): JsonObject | undefined {
  if (choice.case === "tool") return { tool: { name: choice.value } };
  return choice.value === ToolChoiceMode.ANY ? { any: {} } : undefined;
}

function toTool(tool: Tool, path: string, asked: TypedAsk): JsonObject[] {
  const { name, description, inputSchemaJson, strict } = tool;
  if (typeof tool.extras?.type === "string") {
    // Without its provider it would be a tool of the caller's, who does not know it.
    asked.lose(path, `is run by a provider that has tools of type "${tool.extras.type.slice(0, 64)}"`);
    return [];
  }
  const extras = takeExtras(tool.extras, CACHE_EXTRAS, path, asked);
  const json = inputSchemaJson === "" ? { type: "object", properties: {} } : parseObject(inputSchemaJson);
  if (json === undefined) throw refuse(`${path}.input_schema_json`, "is not a JSON object");
  const toolSpec = {
    name,
    // An empty one is refused.
    ...(description !== "" && { description }),
    inputSchema: { json },
    ...(strict && { strict }),
  };
  return [{ toolSpec }, ...toCachePoint(extras)];
}
