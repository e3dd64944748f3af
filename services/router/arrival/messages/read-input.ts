import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ChatInput,
  ChatInputSchema,
  type ReasoningSchema,
  type ResponseFormatSchema,
  ToolChoiceMode,
  type ToolChoiceSchema,
  type ToolSchema,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import { invalid } from "../invalid.ts";
import { ReadObject, readBodyObject } from "../read-json.ts";
import { readMessages, readSystem } from "./read-messages.ts";

/** Longest name of a tool, pseudonym and effort, as in weir.router.v1. */
const LONGEST_NAME = 256;
const LONGEST_END_USER = 128;
const LONGEST_EFFORT = 32;

/**
 * Makes typed messages of a request for messages (https://platform.claude.com/docs/en/api/messages/create). What has no place there
 * stands in extras by its own name, so that a target which can't say it says so. Throws ARGUMENT_INVALID for what is not as it should
 * be, with the path as the caller wrote it.
 */
export function readInput(bytes: Buffer): ChatInput {
  const body = readBodyObject(bytes);
  // How it is asked is the router's affair.
  body.take("stream");
  // The default, which some clients send.
  const tier = body.take("service_tier");
  if (tier !== undefined && tier !== "auto") body.leave("service_tier", tier);
  checkThread(body);
  const maxOutputTokens = body.takeInteger("max_tokens", 0);
  const output = body.takeObject("output_config");
  const input: MessageInitShape<typeof ChatInputSchema> = {
    model: body.getText("model"),
    messages: [...readSystem(body.take("system")), ...readMessages(body.takeList("messages") ?? [])],
    tools: (body.takeList("tools") ?? []).map((tool, index) => readTool(new ReadObject(tool, `tools[${index}]`))),
    endUser: readEndUser(body),
    sampling: {
      temperature: body.takeNumber("temperature"),
      topP: body.takeNumber("top_p"),
      topK: body.takeInteger("top_k", 0),
      stopSequences: readStop(body),
    },
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...readToolChoice(body),
    ...readReasoning(body, output),
    ...readFormat(body, output),
  };
  const rest = output?.takeRest().extras;
  if (rest !== undefined) body.leave("output_config", rest);
  return create(ChatInputSchema, { ...input, ...body.takeRest() });
}

/**
 * A conversation that Anthropic holds has its earlier turns there, and can't go on elsewhere, whatever may be left out. The code is
 * Anthropic's: clients send the whole conversation then. The wish to begin one is left over.
 */
function checkThread(body: ReadObject): void {
  const thread = body.take("thread");
  if (thread === undefined) return;
  if (new ReadObject(thread, "thread").getText("type") !== "create") {
    throw invalid("thread", "has its earlier turns with another provider: send the whole conversation", {
      error_code: "thread_not_found",
    });
  }
  body.leave("thread", thread);
}

function readStop(body: ReadObject): string[] {
  return (body.takeList("stop_sequences") ?? []).map((text, index) => {
    if (typeof text === "string") return text;
    throw invalid(`stop_sequences[${index}]`, "must be a text");
  });
}

function readEndUser(body: ReadObject): string {
  const metadata = body.takeObject("metadata");
  if (metadata === undefined) return "";
  const user = metadata.takeText("user_id") ?? "";
  const isKept = Buffer.byteLength(user) <= LONGEST_END_USER;
  // A longer one is for the provider that knows this format only.
  if (!isKept) metadata.leave("user_id", user);
  const rest = metadata.takeRest().extras;
  if (rest !== undefined) body.leave("metadata", rest);
  return isKept ? user : "";
}

/** A tool of the caller's. One that the provider runs, or that has its schema there, keeps its `type` and all else in extras. */
function readTool(tool: ReadObject): MessageInitShape<typeof ToolSchema> {
  const type = tool.takeText("type") ?? "custom";
  if (type !== "custom") {
    const name = tool.takeText("name") ?? type;
    return { name: checkName(name, tool.pathOf("name")), extras: { type, ...tool.takeRest().extras } };
  }
  const schema = tool.take("input_schema");
  return {
    name: checkName(tool.getText("name"), tool.pathOf("name")),
    description: tool.takeText("description") ?? "",
    inputSchemaJson: schema === undefined ? "" : JSON.stringify(schema),
    strict: tool.takeFlag("strict") ?? false,
    ...tool.takeRest(),
  };
}

function checkName(name: string, field: string): string {
  if (name !== "" && Buffer.byteLength(name) <= LONGEST_NAME) return name;
  throw invalid(field, `must have 1 to ${LONGEST_NAME} bytes`);
}

const MODES: Readonly<Record<string, ToolChoiceMode>> = {
  auto: ToolChoiceMode.AUTO,
  none: ToolChoiceMode.NONE,
  any: ToolChoiceMode.ANY,
};

function readToolChoice(body: ReadObject): { toolChoice?: MessageInitShape<typeof ToolChoiceSchema> } {
  const choice = body.takeObject("tool_choice");
  if (choice === undefined) return {};
  const type = choice.getText("type");
  const single = choice.takeFlag("disable_parallel_tool_use") ?? false;
  if (type === "tool") {
    const value = checkName(choice.getText("name"), choice.pathOf("name"));
    return { toolChoice: { choice: { case: "tool", value }, single } };
  }
  if (!Object.hasOwn(MODES, type)) throw invalid("tool_choice.type", "must be auto, any, tool or none");
  return { toolChoice: { choice: { case: "mode", value: MODES[type]! }, single } };
}

/**
 * How much to think (https://platform.claude.com/docs/en/build-with-claude/extended-thinking): a budget, none at all, or as much as the
 * model sees fit, which `effort` steers. A kind that nobody here knows is left over whole.
 */
function readReasoning(
  body: ReadObject,
  output: ReadObject | undefined,
): { reasoning?: MessageInitShape<typeof ReasoningSchema> } {
  const effort = output?.takeText("effort") ?? "";
  if (effort.length > LONGEST_EFFORT)
    throw invalid("output_config.effort", `must have at most ${LONGEST_EFFORT} characters`);
  const thinking = body.takeObject("thinking");
  if (thinking === undefined) return effort === "" ? {} : { reasoning: { effort } };
  const type = thinking.getText("type");
  const leave = (extras: JsonObject | undefined) => extras !== undefined && body.leave("thinking", extras);
  switch (type) {
    case "enabled": {
      const maxTokens = thinking.takeInteger("budget_tokens", 1);
      if (maxTokens === undefined) throw invalid("thinking.budget_tokens", "is missing");
      leave(thinking.takeRest().extras);
      return { reasoning: { effort, maxTokens } };
    }
    case "adaptive":
      leave(thinking.takeRest().extras);
      return { reasoning: { effort } };
    case "disabled":
      leave(thinking.takeRest().extras);
      // Effort is about more than thinking.
      if (effort !== "") output?.leave("effort", effort);
      return { reasoning: { effort: "none" } };
    default:
      leave({ type, ...thinking.takeRest().extras });
      return effort === "" ? {} : { reasoning: { effort } };
  }
}

/** The form of the answer: `output_config.format`, or as it was called before. */
function readFormat(
  body: ReadObject,
  output: ReadObject | undefined,
): { responseFormat?: MessageInitShape<typeof ResponseFormatSchema> } {
  const format = output?.takeObject("format") ?? body.takeObject("output_format");
  if (format === undefined) return {};
  const type = format.getText("type");
  if (type !== "json_schema") throw invalid(format.pathOf("type"), "must be json_schema");
  const schema = format.take("schema");
  if (schema === undefined) throw invalid(format.pathOf("schema"), "is missing");
  return {
    responseFormat: { form: { case: "jsonSchema", value: { schemaJson: JSON.stringify(schema), strict: true } } },
  };
}
