import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ChatInput,
  ChatInputSchema,
  type ResponseFormatSchema,
  ToolChoiceMode,
  type ToolChoiceSchema,
  type ToolSchema,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import { invalid } from "../invalid.ts";
import { ReadObject, readBodyObject } from "../read-json.ts";
import { readMessages } from "./read-messages.ts";

/** Longest name of a tool, pseudonym and effort, as in weir.router.v1. */
const LONGEST_NAME = 256;
const LONGEST_END_USER = 128;
const LONGEST_EFFORT = 32;
/** A seed has 64 bits with a sign. */
const LEAST_SEED = -(2n ** 63n);
const MOST_SEED = 2n ** 63n - 1n;

/**
 * What says no more than that nothing is said (https://platform.openai.com/docs/api-reference/chat/create): clients send it, and it
 * must not keep a target of another format from being asked.
 */
const DEFAULTS: Readonly<Record<string, string>> = {
  frequency_penalty: "0",
  logit_bias: "{}",
  logprobs: "false",
  metadata: "{}",
  modalities: '["text"]',
  presence_penalty: "0",
  service_tier: '"auto"',
  store: "false",
  tools: "[]",
};

/**
 * Makes typed messages of a chat completions request. What has no place there stands in extras by its own name, so that a target
 * which can't say it says so. Throws ARGUMENT_INVALID for what is not as it should be, with the path as the caller wrote it.
 */
export function readInput(bytes: Buffer): ChatInput {
  const body = readBodyObject(bytes);
  for (const [name, value] of Object.entries(DEFAULTS)) {
    const given = body.take(name);
    if (given !== undefined && JSON.stringify(given) !== value) body.leave(name, given);
  }
  // How it is asked is the router's affair.
  for (const name of ["stream", "stream_options"]) body.take(name);
  const newer = body.takeInteger("max_completion_tokens", 1);
  const older = body.takeInteger("max_tokens", 1);
  const endUser = body.takeText("user") ?? "";
  const effort = readEffort(body);
  const stop = body.take("stop");
  const input: MessageInitShape<typeof ChatInputSchema> = {
    model: body.getText("model"),
    messages: readMessages(body.takeList("messages") ?? []),
    tools: readTools(body),
    candidates: Number(body.takeInteger("n", 1) ?? 1n),
    endUser: Buffer.byteLength(endUser) <= LONGEST_END_USER ? endUser : "",
    sampling: {
      temperature: body.takeNumber("temperature"),
      topP: body.takeNumber("top_p"),
      topK: body.takeInteger("top_k", 0),
      stopSequences: readStop(stop),
      seed: body.takeInteger("seed", LEAST_SEED, MOST_SEED),
      frequencyPenalty: body.takeNumber("frequency_penalty"),
      presencePenalty: body.takeNumber("presence_penalty"),
    },
    ...((newer ?? older) !== undefined && { maxOutputTokens: newer ?? older }),
    ...(effort !== "" && { reasoning: { effort } }),
    ...readToolChoice(body),
    ...readResponseFormat(body),
  };
  if (Buffer.byteLength(endUser) > LONGEST_END_USER) body.leave("user", endUser);
  return create(ChatInputSchema, { ...input, ...body.takeRest() });
}

function readEffort(body: ReadObject): string {
  const effort = body.takeText("reasoning_effort") ?? "";
  if (effort.length > LONGEST_EFFORT)
    throw invalid("reasoning_effort", `must have at most ${LONGEST_EFFORT} characters`);
  return effort;
}

function readStop(stop: unknown): string[] {
  if (stop === undefined) return [];
  if (typeof stop === "string") return [stop];
  if (Array.isArray(stop) && stop.every((one) => typeof one === "string")) return stop;
  throw invalid("stop", "must be a text or a list of texts");
}

/** The functions; tools of other kinds have no typed form, and are left over. */
function readTools(body: ReadObject): MessageInitShape<typeof ToolSchema>[] {
  const tools: MessageInitShape<typeof ToolSchema>[] = [];
  const others: JsonObject[] = [];
  body.takeList("tools")?.forEach((given, index) => {
    const tool = new ReadObject(given, `tools[${index}]`);
    if (tool.getText("type") !== "function") {
      others.push(given as JsonObject);
      return;
    }
    const called = tool.takeObject("function");
    if (called === undefined) throw invalid(`tools[${index}].function`, "is missing");
    const parameters = called.take("parameters");
    tools.push({
      name: readName(called),
      description: called.takeText("description") ?? "",
      inputSchemaJson: parameters === undefined ? "" : JSON.stringify(parameters),
      strict: called.takeFlag("strict") ?? false,
      ...mergeExtras(tool.takeRest().extras, called.takeRest().extras),
    });
  });
  if (others.length > 0) body.leave("tools", others);
  return tools;
}

function mergeExtras(...all: (JsonObject | undefined)[]): { readonly extras?: JsonObject } {
  const extras = Object.assign({}, ...all) as JsonObject;
  return Object.keys(extras).length === 0 ? {} : { extras };
}

function readName(called: ReadObject): string {
  const name = called.getText("name");
  if (name === "" || Buffer.byteLength(name) > LONGEST_NAME) {
    throw invalid(called.pathOf("name"), `must have 1 to ${LONGEST_NAME} bytes`);
  }
  return name;
}

const MODES: Readonly<Record<string, ToolChoiceMode>> = {
  auto: ToolChoiceMode.AUTO,
  none: ToolChoiceMode.NONE,
  required: ToolChoiceMode.ANY,
};

/** Whether and which tool. A choice among some of the tools has no typed form, and is left over. */
function readToolChoice(body: ReadObject): { toolChoice?: MessageInitShape<typeof ToolChoiceSchema> } {
  const single = body.takeFlag("parallel_tool_calls") === false;
  const given = body.take("tool_choice");
  if (typeof given === "string") {
    if (!Object.hasOwn(MODES, given)) throw invalid("tool_choice", "must be auto, none, required or a tool");
    return { toolChoice: { choice: { case: "mode", value: MODES[given]! }, single } };
  }
  if (given !== undefined) {
    const choice = new ReadObject(given, "tool_choice");
    const called = choice.takeText("type") === "function" ? choice.takeObject("function") : undefined;
    if (called !== undefined) return { toolChoice: { choice: { case: "tool", value: readName(called) }, single } };
    body.leave("tool_choice", given);
  }
  return single ? { toolChoice: { choice: { case: "mode", value: ToolChoiceMode.AUTO }, single } } : {};
}

function readResponseFormat(body: ReadObject): { responseFormat?: MessageInitShape<typeof ResponseFormatSchema> } {
  const given = body.take("response_format");
  if (given === undefined) return {};
  const format = new ReadObject(given, "response_format");
  const type = format.takeText("type");
  if (type === "text") return {};
  if (type === "json_object") return { responseFormat: { form: { case: "jsonObject", value: {} } } };
  const described = type === "json_schema" ? format.takeObject("json_schema") : undefined;
  if (described === undefined) {
    body.leave("response_format", given);
    return {};
  }
  const value = {
    name: described.takeText("name") ?? "",
    schemaJson: JSON.stringify(described.take("schema") ?? {}),
    strict: described.takeFlag("strict") ?? false,
    description: described.takeText("description") ?? "",
  };
  return { responseFormat: { form: { case: "jsonSchema", value } } };
}
