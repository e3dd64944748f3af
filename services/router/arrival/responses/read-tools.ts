import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  type Tool,
  type ToolChoice,
  ToolChoiceMode,
  ToolChoiceSchema,
  ToolSchema,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import { invalid } from "../invalid.ts";
import { ReadObject } from "../read-json.ts";

/** Longest name of a tool, as in weir.router.v1. */
const LONGEST_NAME = 256;

/**
 * Takes the functions out of `tools` (https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools). Tools
 * that only OpenAI has or runs are left over.
 */
export function readTools(body: ReadObject): Tool[] {
  const functions: Tool[] = [];
  const others: JsonObject[] = [];
  body.takeList("tools")?.forEach((given, at) => {
    const tool = new ReadObject(given, `tools[${at}]`);
    if (tool.getText("type") === "function") functions.push(readFunction(tool));
    else others.push(given as JsonObject);
  });
  if (others.length > 0) body.leave("tools", others);
  return functions;
}

/**
 * A function. Where `strict` is not said, this format tries to be; others would refuse a schema that is not fit for it, so that
 * only one who asks for it gets it there.
 */
function readFunction(tool: ReadObject): Tool {
  const parameters = tool.take("parameters");
  return create(ToolSchema, {
    name: readName(tool),
    description: tool.takeText("description") ?? "",
    inputSchemaJson: parameters === undefined ? "" : JSON.stringify(parameters),
    strict: tool.takeFlag("strict") ?? false,
    ...tool.takeRest(),
  });
}

function readName(tool: ReadObject): string {
  const name = tool.getText("name");
  if (name === "" || Buffer.byteLength(name) > LONGEST_NAME) {
    throw invalid(tool.pathOf("name"), `must have 1 to ${LONGEST_NAME} bytes`);
  }
  return name;
}

const MODES: Readonly<Record<string, ToolChoiceMode>> = {
  auto: ToolChoiceMode.AUTO,
  none: ToolChoiceMode.NONE,
  required: ToolChoiceMode.ANY,
};

/** Takes `tool_choice` and `parallel_tool_calls`. A choice among some tools, or of one that only OpenAI has, is left over. */
export function readToolChoice(body: ReadObject): { readonly toolChoice?: ToolChoice } {
  const single = body.takeFlag("parallel_tool_calls") === false;
  const given = body.take("tool_choice");
  if (typeof given === "string") {
    if (!Object.hasOwn(MODES, given)) throw invalid("tool_choice", "must be auto, none, required or a tool");
    return toModeChoice(MODES[given]!, single);
  }
  if (given !== undefined) {
    const choice = new ReadObject(given, "tool_choice");
    if (choice.takeText("type") === "function") {
      return { toolChoice: create(ToolChoiceSchema, { choice: { case: "tool", value: readName(choice) }, single }) };
    }
    body.leave("tool_choice", given);
  }
  return single ? toModeChoice(ToolChoiceMode.AUTO, single) : {};
}

function toModeChoice(mode: ToolChoiceMode, single: boolean): { readonly toolChoice: ToolChoice } {
  return { toolChoice: create(ToolChoiceSchema, { choice: { case: "mode", value: mode }, single }) };
}
