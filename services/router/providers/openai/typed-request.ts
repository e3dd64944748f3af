import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import {
  type Block,
  type ChatInput,
  type Message,
  Role,
  type Tool,
  type ToolChoice,
  ToolChoiceMode,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import type { TypedAsk } from "../dialect.ts";
import { parseExact, writeInteger } from "../exact-json.ts";
import type { Capabilities } from "./capabilities.ts";
import { toPart } from "./typed-part.ts";

/** What Weir itself writes at the top of a request; extras may not stand in its place, in whatever case. */
const OWN_KEYS = new Set([
  "model",
  "messages",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "n",
  "user",
]);

/** What the Responses format calls and means the same (https://platform.openai.com/docs/api-reference/responses/create). */
const KNOWN_OF_RESPONSES = new Set([
  "metadata",
  "prompt_cache_key",
  "prompt_cache_retention",
  "safety_identifier",
  "service_tier",
  "store",
  // `text.verbosity` there.
  "verbosity",
]);

/**
 * Writes a typed request as chat completions (https://platform.openai.com/docs/api-reference/chat/create). `lose`s what that can't
 * say: a file by URL, a budget for reasoning, pictures in a tool's result, that a tool failed. Reasoning of earlier turns is left out, for the
 * format takes none back. Throws ARGUMENT_INVALID for what is broken, such as a schema that is no JSON.
 */
export function composeTyped(input: ChatInput, asked: TypedAsk, capabilities: Capabilities): Buffer {
  const { sampling, reasoning, toolChoice, maxOutputTokens } = input;
  if (reasoning !== undefined && reasoning.maxTokens > 0n) asked.lose("reasoning.max_tokens", "use effort");
  const tools = input.tools.flatMap((tool, index) => toTool(tool, `tools[${index}]`, asked));
  const body = {
    ...toTopExtras(input.extras, asked),
    model: asked.model,
    messages: input.messages.flatMap((message, index) => toMessages(message, `messages[${index}]`, asked)),
    ...(asked.streamed && { stream: true }),
    ...(asked.streamed && capabilities.takesStreamOptions && { stream_options: { include_usage: true } }),
    ...(tools.length > 0 && { tools }),
    ...(toolChoice !== undefined && (tools.length > 0 || input.tools.length === 0) && toToolChoice(toolChoice)),
    ...(input.responseFormat !== undefined && { response_format: toResponseFormat(input.responseFormat) }),
    ...(maxOutputTokens !== undefined && { [capabilities.outputCap]: writeInteger(maxOutputTokens) }),
    ...(input.candidates > 1 && { n: input.candidates }),
    ...(input.endUser !== "" && { user: input.endUser }),
    ...(reasoning !== undefined && reasoning.effort !== "" && { reasoning_effort: reasoning.effort }),
    ...(sampling?.temperature !== undefined && { temperature: sampling.temperature }),
    ...(sampling?.topP !== undefined && { top_p: sampling.topP }),
    ...(sampling?.topK !== undefined && { top_k: writeInteger(sampling.topK) }),
    ...(sampling !== undefined && sampling.stopSequences.length > 0 && { stop: sampling.stopSequences }),
    ...(sampling?.seed !== undefined && { seed: writeInteger(sampling.seed) }),
    ...(sampling?.frequencyPenalty !== undefined && { frequency_penalty: sampling.frequencyPenalty }),
    ...(sampling?.presencePenalty !== undefined && { presence_penalty: sampling.presencePenalty }),
  };
  return Buffer.from(JSON.stringify(body));
}

function toTopExtras(extras: JsonObject | undefined, asked: TypedAsk): JsonObject | undefined {
  for (const key of isForeign(asked) ? [] : Object.keys(extras ?? {})) {
    if (OWN_KEYS.has(key.toUpperCase().toLowerCase())) throw refuse(`extras["${key}"]`, "has a field of its own");
  }
  return keepExtras(extras, "", asked, asked.from === "responses" ? KNOWN_OF_RESPONSES : undefined);
}

/** What is meant for this format; everything else is lost, name by name. `path` is that of the message, empty for the request. */
function keepExtras(
  extras: JsonObject | undefined,
  path: string,
  asked: TypedAsk,
  known?: ReadonlySet<string>,
): JsonObject | undefined {
  if (extras === undefined || !isForeign(asked)) return extras;
  const kept: JsonObject = {};
  for (const [name, value] of Object.entries(extras)) {
    if (known?.has(name)) kept[name] = value;
    else asked.lose(`${path === "" ? "" : `${path}.`}extras["${name}"]`, "is not known to chat completions");
  }
  return kept;
}

/** Whether the caller wrote in another format, whose extras mean nothing here. */
function isForeign({ from }: TypedAsk): boolean {
  return from !== undefined && from !== "chat-completions";
}

/** Loses what has a form in the caller's format only, whole: a tool, or a block, with its `type` in extras. Returns whether it did. */
function loseUntyped(extras: JsonObject | undefined, path: string, asked: TypedAsk): boolean {
  if (typeof extras?.type !== "string" || !isForeign(asked)) return false;
  asked.lose(path, `is of type "${extras.type.slice(0, 64)}", which is not known to chat completions`);
  return true;
}

const ROLES: Readonly<Record<number, string>> = {
  [Role.SYSTEM]: "system",
  [Role.DEVELOPER]: "developer",
  [Role.USER]: "user",
  [Role.ASSISTANT]: "assistant",
  [Role.TOOL]: "tool",
};

/** Each result of a tool becomes a message of its own, before what else the turn holds; that becomes one. */
function toMessages(message: Message, field: string, asked: TypedAsk): JsonObject[] {
  const results: JsonObject[] = [];
  const spoken: JsonObject[] = [];
  const uses: JsonObject[] = [];
  let refusal = "";
  message.blocks.forEach((block, at) => {
    const path = `${field}.blocks[${at}]`;
    const { content } = block;
    if (content.case === "toolResult") {
      results.push(toToolMessage(block, path, asked));
      return;
    }
    if (message.role === Role.TOOL) throw refuse(path, "must be a tool's result");
    if (loseUntyped(block.extras, path, asked)) return;
    const extras = keepExtras(block.extras, path, asked);
    switch (content.case) {
      case "toolUse": {
        const { id, name, inputJson } = content.value;
        uses.push({ ...extras, id, type: "function", function: { name, arguments: inputJson } });
        break;
      }
      case "refusal":
        refusal += content.value.text;
        break;
      case "reasoning":
        asked.leaveOut(path);
        break;
      default: {
        const part = toPart(content, path, asked);
        if (part !== undefined) spoken.push({ ...extras, ...part });
      }
    }
  });
  const isAnswer = message.role === Role.ASSISTANT;
  if (message.role === Role.TOOL || (results.length > 0 && spoken.length === 0 && !isAnswer)) return results;
  return [
    ...results,
    {
      ...keepExtras(message.extras, field, asked),
      role: ROLES[message.role] ?? "user",
      content: spoken.length === 0 && isAnswer ? null : toContent(spoken),
      ...(message.name !== "" && { name: message.name }),
      ...(refusal !== "" && { refusal }),
      ...(uses.length > 0 && { tool_calls: uses }),
    },
  ];
}

function toToolMessage({ content, extras }: Block, path: string, asked: TypedAsk): JsonObject {
  if (content.case !== "toolResult") throw refuse(path, "must be a tool's result");
  const { toolUseId, blocks, failed } = content.value;
  if (failed)
    asked.lose(`${path}.tool_result.failed`, "can't be said in chat completions: say it in the result's text");
  const parts = blocks.flatMap((block, at): JsonObject[] => {
    const within = `${path}.tool_result.blocks[${at}]`;
    if (loseUntyped(block.extras, within, asked)) return [];
    if (block.content.case === "text") {
      return [{ ...keepExtras(block.extras, within, asked), type: "text", text: block.content.value.text }];
    }
    asked.lose(within, "is not text, and a tool's result is nothing else in chat completions");
    return [];
  });
  return { ...keepExtras(extras, path, asked), role: "tool", tool_call_id: toolUseId, content: toContent(parts) };
}

/** One text stands for itself, as older servers want it; anything else is a list of parts. */
function toContent(parts: JsonObject[]): JsonValue {
  const [only] = parts;
  if (only === undefined) return "";
  if (parts.length === 1 && only.type === "text" && Object.keys(only).length === 2) return only.text as string;
  return parts;
}

function toTool(
  { name, description, inputSchemaJson, strict, extras }: Tool,
  field: string,
  asked: TypedAsk,
): JsonObject[] {
  if (loseUntyped(extras, field, asked)) return [];
  const parameters = inputSchemaJson === "" ? undefined : parse(inputSchemaJson, `${field}.input_schema_json`);
  return [
    {
      ...keepExtras(extras, field, asked),
      type: "function",
      function: {
        name,
        ...(description !== "" && { description }),
        ...(parameters !== undefined && { parameters }),
        ...(strict && { strict }),
      },
    },
  ];
}

const MODES: Readonly<Record<number, string>> = {
  [ToolChoiceMode.AUTO]: "auto",
  [ToolChoiceMode.NONE]: "none",
  [ToolChoiceMode.ANY]: "required",
};

function toToolChoice({ choice, single }: ToolChoice): JsonObject {
  return {
    tool_choice:
      choice.case === "tool"
        ? { type: "function", function: { name: choice.value } }
        : (MODES[choice.value ?? ToolChoiceMode.AUTO] ?? "auto"),
    ...(single && { parallel_tool_calls: false }),
  };
}

function toResponseFormat({ form }: NonNullable<ChatInput["responseFormat"]>): JsonObject {
  if (form.case !== "jsonSchema") return { type: "json_object" };
  const { name, schemaJson, strict, description } = form.value;
  return {
    type: "json_schema",
    json_schema: {
      name,
      schema: parse(schemaJson, "response_format.json_schema.schema_json"),
      ...(strict && { strict }),
      ...(description !== "" && { description }),
    },
  };
}

function parse(json: string, field: string): JsonValue {
  try {
    return parseExact(json);
  } catch {
    throw refuse(field, "is not JSON");
  }
}

/** What is wrong for every target alike. */
function refuse(field: string, state: string): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot write request: "${field}" ${state}`, {
    facts: { field },
    violations: [{ field, description: state }],
  });
}
