import { create, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import {
  type Block,
  BlockSchema,
  CandidateSchema,
  type ChatInput,
  type Message,
  Role,
  StopReason,
  type Tool,
  type ToolChoice,
  ToolChoiceMode,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import type { TypedAnswer } from "../dialect.ts";

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

/**
 * Writes a typed request in the OpenAI dialect (https://platform.openai.com/docs/api-reference/chat/create). Throws
 * ARGUMENT_INVALID for what it cannot say: a file by URL, a budget for reasoning, a tool's result outside a turn of a tool.
 * Reasoning of earlier turns is left out: this dialect takes none back.
 */
export function composeTyped(input: ChatInput, streamed: boolean, model: string): Buffer {
  const { sampling, reasoning, toolChoice } = input;
  if (reasoning !== undefined && reasoning.maxTokens > 0n) {
    throw refuse("input.reasoning.max_tokens", "can't be said in the OpenAI dialect: use effort");
  }
  for (const key of Object.keys(input.extras ?? {})) {
    if (OWN_KEYS.has(key.toUpperCase().toLowerCase())) throw refuse(`input.extras["${key}"]`, "has a field of its own");
  }
  const body = {
    ...input.extras,
    model,
    messages: input.messages.flatMap(toMessages),
    ...(streamed && { stream: true, stream_options: { include_usage: true } }),
    ...(input.tools.length > 0 && { tools: input.tools.map(toTool) }),
    ...(toolChoice !== undefined && toToolChoice(toolChoice)),
    ...(input.responseFormat !== undefined && { response_format: toResponseFormat(input) }),
    ...(input.maxOutputTokens !== undefined && { max_completion_tokens: Number(input.maxOutputTokens) }),
    ...(input.candidates > 1 && { n: input.candidates }),
    ...(input.endUser !== "" && { user: input.endUser }),
    ...(reasoning !== undefined && reasoning.effort !== "" && { reasoning_effort: reasoning.effort }),
    ...(sampling?.temperature !== undefined && { temperature: sampling.temperature }),
    ...(sampling?.topP !== undefined && { top_p: sampling.topP }),
    ...(sampling?.topK !== undefined && { top_k: Number(sampling.topK) }),
    ...(sampling !== undefined && sampling.stopSequences.length > 0 && { stop: sampling.stopSequences }),
    ...(sampling?.seed !== undefined && { seed: Number(sampling.seed) }),
    ...(sampling?.frequencyPenalty !== undefined && { frequency_penalty: sampling.frequencyPenalty }),
    ...(sampling?.presencePenalty !== undefined && { presence_penalty: sampling.presencePenalty }),
  };
  return Buffer.from(JSON.stringify(body));
}

const ROLES: Readonly<Record<number, string>> = {
  [Role.SYSTEM]: "system",
  [Role.DEVELOPER]: "developer",
  [Role.USER]: "user",
  [Role.ASSISTANT]: "assistant",
  [Role.TOOL]: "tool",
};

/** A turn of a tool becomes a message for each result; any other becomes one. */
function toMessages(message: Message, index: number): JsonObject[] {
  const field = `input.messages[${index}]`;
  if (message.role === Role.TOOL) {
    return message.blocks.map(({ content, extras }, at) => {
      if (content.case !== "toolResult") throw refuse(`${field}.blocks[${at}]`, "must be a tool's result");
      const { toolUseId, blocks } = content.value;
      return { ...extras, role: "tool", tool_call_id: toolUseId, content: toContent(blocks, `${field}.blocks[${at}]`) };
    });
  }
  const spoken = message.blocks.filter(
    ({ content: { case: kind } }) => kind === "text" || kind === "image" || kind === "file",
  );
  const uses = message.blocks.flatMap(({ content }) => (content.case === "toolUse" ? [content.value] : []));
  const refusals = message.blocks.flatMap(({ content }) => (content.case === "refusal" ? [content.value.text] : []));
  const stray = message.blocks.findIndex(({ content }) => content.case === "toolResult");
  if (stray >= 0) throw refuse(`${field}.blocks[${stray}]`, "is a tool's result, but the turn is not of a tool");
  return [
    {
      ...message.extras,
      role: ROLES[message.role] ?? "user",
      content: spoken.length === 0 && message.role === Role.ASSISTANT ? null : toContent(spoken, field),
      ...(message.name !== "" && { name: message.name }),
      ...(refusals.length > 0 && { refusal: refusals.join("") }),
      ...(uses.length > 0 && {
        tool_calls: uses.map(({ id, name, inputJson }) => ({
          id,
          type: "function",
          function: { name, arguments: inputJson },
        })),
      }),
    },
  ];
}

/** One text stands for itself, as older servers want it; anything else is a list of parts. */
function toContent(blocks: readonly Block[], field: string): JsonValue {
  const [only] = blocks;
  if (blocks.length === 0) return "";
  if (blocks.length === 1 && only?.content.case === "text" && only.extras === undefined) return only.content.value.text;
  return blocks.map((block, at) => toPart(block, `${field}.blocks[${at}]`));
}

function toPart({ content, extras }: Block, field: string): JsonObject {
  switch (content.case) {
    case "text":
      return { ...extras, type: "text", text: content.value.text };
    case "image": {
      const { source, mediaType, detail } = content.value;
      const url = source.case === "url" ? source.value : toDataUrl(source.value ?? new Uint8Array(), mediaType);
      return { ...extras, type: "image_url", image_url: { url, ...(detail !== "" && { detail }) } };
    }
    case "file": {
      const { source, mediaType, filename } = content.value;
      if (source.case === "url") throw refuse(field, "is a file by URL, which the OpenAI dialect can't say");
      const file = source.case === "fileId" ? { file_id: source.value } : toFileData(source.value, mediaType);
      return { ...extras, type: "file", file: { ...file, ...(filename !== "" && { filename }) } };
    }
    default:
      throw refuse(field, "must be text, an image or a file");
  }
}

function toFileData(bytes: Uint8Array | undefined, mediaType: string): JsonObject {
  return { file_data: toDataUrl(bytes ?? new Uint8Array(), mediaType) };
}

function toDataUrl(bytes: Uint8Array, mediaType: string): string {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  return `data:${mediaType === "" ? "application/octet-stream" : mediaType};base64,${base64}`;
}

function toTool({ name, description, inputSchemaJson, strict, extras }: Tool, index: number): JsonObject {
  const parameters =
    inputSchemaJson === "" ? undefined : parse(inputSchemaJson, `input.tools[${index}].input_schema_json`);
  return {
    ...extras,
    type: "function",
    function: {
      name,
      ...(description !== "" && { description }),
      ...(parameters !== undefined && { parameters }),
      ...(strict && { strict }),
    },
  };
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

function toResponseFormat({ responseFormat }: ChatInput): JsonObject {
  const form = responseFormat?.form;
  if (form?.case !== "jsonSchema") return { type: "json_object" };
  const { name, schemaJson, strict, description } = form.value;
  return {
    type: "json_schema",
    json_schema: {
      name,
      schema: parse(schemaJson, "input.response_format.json_schema.schema_json"),
      ...(strict && { strict }),
      ...(description !== "" && { description }),
    },
  };
}

function parse(json: string, field: string): JsonValue {
  try {
    return JSON.parse(json) as JsonValue;
  } catch {
    throw refuse(field, "is not JSON");
  }
}

function refuse(field: string, state: string): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot write request: "${field}" ${state}`, {
    facts: { field },
    violations: [{ field, description: state }],
  });
}

/** Makes typed messages of an answer in one piece that was accepted before. Its shape is still the provider's: read tolerant. */
export function toTypedAnswer(body: Buffer): TypedAnswer {
  const answer = toObject(JSON.parse(body.toString("utf8")));
  const { choices, model, usage: _usage, object: _object, ...extras } = answer;
  return {
    providerModel: toText(model),
    candidates: toList(choices).map((choice, at) => {
      const { index, message, finish_reason, ...rest } = toObject(choice);
      const { blocks, extras: left } = toBlocks(toObject(message));
      return create(CandidateSchema, {
        index: typeof index === "number" ? index : at,
        blocks,
        stopReason: toStopReason(finish_reason),
        providerStopReason: toText(finish_reason),
        ...toExtras({ ...rest, ...left }),
      });
    }),
    ...toExtras(extras),
  };
}

/** What only the dialect knows, if there is any: members that are null say nothing. */
export function toExtras(members: Record<string, unknown>): { readonly extras?: JsonObject } {
  const said = Object.entries(members).filter(([, value]) => value !== null && value !== undefined);
  return said.length === 0 ? {} : { extras: Object.fromEntries(said) as JsonObject };
}

function toBlocks(message: Record<string, unknown>): { blocks: Block[]; extras: Record<string, unknown> } {
  const { role: _role, content, refusal, tool_calls, reasoning_content, reasoning, ...extras } = message;
  const blocks: Block[] = [];
  const thought = toText(reasoning_content) || toText(reasoning);
  if (thought !== "") {
    blocks.push(create(BlockSchema, { content: { case: "reasoning", value: { text: thought } } }));
  }
  if (toText(content) !== "") {
    blocks.push(create(BlockSchema, { content: { case: "text", value: { text: toText(content) } } }));
  }
  if (toText(refusal) !== "") {
    blocks.push(create(BlockSchema, { content: { case: "refusal", value: { text: toText(refusal) } } }));
  }
  for (const call of toList(tool_calls)) {
    const { id, function: called } = toObject(call);
    const { name, arguments: inputJson } = toObject(called);
    const value = { id: toText(id), name: toText(name), inputJson: toText(inputJson) };
    blocks.push(create(BlockSchema, { content: { case: "toolUse", value } }));
  }
  return { blocks, extras };
}

const STOP_REASONS: Readonly<Record<string, StopReason>> = {
  stop: StopReason.END,
  length: StopReason.MAX_OUTPUT_TOKENS,
  tool_calls: StopReason.TOOL_USE,
  function_call: StopReason.TOOL_USE,
  content_filter: StopReason.FILTERED,
};

/** The provider's `finish_reason` in Weir's words. */
export function toStopReason(reason: unknown): StopReason {
  return typeof reason === "string" && Object.hasOwn(STOP_REASONS, reason) ? STOP_REASONS[reason]! : StopReason.OTHER;
}

/** A member that should be an object; an empty one when it is none. */
export function toObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A member that should be a list; an empty one when it is none. */
export function toList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A member that should be a text; an empty one when it is none. */
export function toText(value: unknown): string {
  return typeof value === "string" ? value : "";
}
