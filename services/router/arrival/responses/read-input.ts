import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  type ChatInput,
  ChatInputSchema,
  type Message,
  MessageSchema,
  type ResponseFormat,
  ResponseFormatSchema,
  Role,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import { invalid } from "../invalid.ts";
import { type ReadObject, readBodyObject } from "../read-json.ts";
import { readItems } from "./read-items.ts";
import { toTextBlock } from "./read-parts.ts";
import { readToolChoice, readTools } from "./read-tools.ts";

/** Longest pseudonym and effort, in bytes, as in weir.router.v1.ChatInput. */
const LONGEST_END_USER = 128;
const LONGEST_EFFORT = 32;

/** What binds a request to what one account holds. Only a target that reads this format can be asked. */
const BINDING = ["previous_response_id", "conversation", "prompt"] as const;

/**
 * What says no more than that nothing is said (https://platform.openai.com/docs/api-reference/responses/create): clients send it,
 * and it must not keep a target of another format from being asked.
 */
const DEFAULTS: Readonly<Record<string, string>> = {
  metadata: "{}",
  service_tier: '"auto"',
  tools: "[]",
  top_logprobs: "0",
  truncation: '"disabled"',
};

/**
 * Makes typed messages of a request of this format, for a target that reads another one. Throws ARGUMENT_INVALID for what is not as
 * it should be and what is bound to an account, with the path as the caller wrote it. What has no place among typed messages stands
 * in extras by its own name (`text.verbosity` by that of chat completions), so that a target which can't say it says so. Taken
 * without a word are wishes that any answer of Weir's fulfils, or that only say how it is sent:
 *
 * - `store`: what OpenAI did not answer can't be fetched there, whatever is asked; the answer says `"store": false`.
 * - `stream_options`: padding of events, of which Weir writes none.
 * - `include` of encrypted reasoning, which is always there, and a summary of reasoning "auto": as much as there is.
 */
export function readInput(bytes: Buffer): ChatInput {
  const body = readBodyObject(bytes);
  for (const [name, value] of Object.entries(DEFAULTS)) {
    const given = body.take(name);
    if (given !== undefined && JSON.stringify(given) !== value) body.leave(name, given);
  }
  for (const name of ["stream", "stream_options", "store", "background"]) body.take(name);
  for (const name of BINDING) {
    if (body.take(name) !== undefined)
      throw invalid(name, "names what an account holds, and is nothing to another format");
  }
  const maxOutputTokens = body.takeInteger("max_output_tokens", 1);
  const effort = readReasoning(body);
  readInclude(body);
  return create(ChatInputSchema, {
    model: body.getText("model"),
    messages: [...readInstructions(body), ...readItems(body.take("input"))],
    tools: readTools(body),
    endUser: readEndUser(body),
    sampling: { temperature: body.takeNumber("temperature"), topP: body.takeNumber("top_p") },
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(effort !== "" && { reasoning: { effort } }),
    ...readToolChoice(body),
    ...readText(body),
    ...body.takeRest(),
  });
}

function readInstructions(body: ReadObject): Message[] {
  const said = body.takeText("instructions") ?? "";
  return said === "" ? [] : [create(MessageSchema, { role: Role.SYSTEM, blocks: [toTextBlock(said)] })];
}

/** The newer name of the pseudonym counts where the older one is not said. What is too long to be typed is left over. */
function readEndUser(body: ReadObject): string {
  for (const name of ["user", "safety_identifier"]) {
    const said = body.takeText(name) ?? "";
    if (said === "") continue;
    if (Buffer.byteLength(said) <= LONGEST_END_USER) return said;
    body.leave(name, said);
  }
  return "";
}

function readText(body: ReadObject): { readonly responseFormat?: ResponseFormat } {
  const text = body.takeObject("text");
  if (text === undefined) return {};
  const format = text.takeObject("format");
  const verbosity = text.take("verbosity");
  if (verbosity !== undefined) body.leave("verbosity", verbosity);
  leaveRest(body, "text", text);
  const responseFormat = format === undefined ? undefined : readFormat(format);
  return responseFormat === undefined ? {} : { responseFormat };
}

function readFormat(format: ReadObject): ResponseFormat | undefined {
  const type = format.getText("type");
  if (type === "text") return undefined;
  if (type === "json_object") return create(ResponseFormatSchema, { form: { case: "jsonObject", value: {} } });
  if (type !== "json_schema") throw invalid("text.format.type", "must be text, json_object or json_schema");
  const value = {
    name: format.takeText("name") ?? "",
    schemaJson: JSON.stringify(format.take("schema") ?? {}),
    strict: format.takeFlag("strict") ?? false,
    description: format.takeText("description") ?? "",
  };
  return create(ResponseFormatSchema, { form: { case: "jsonSchema", value } });
}

/** Takes the effort; what else is said of reasoning is left over. */
function readReasoning(body: ReadObject): string {
  const reasoning = body.takeObject("reasoning");
  if (reasoning === undefined) return "";
  const effort = reasoning.takeText("effort") ?? "";
  if (effort.length > LONGEST_EFFORT)
    throw invalid("reasoning.effort", `must have at most ${LONGEST_EFFORT} characters`);
  for (const name of ["summary", "generate_summary"]) {
    const wanted = reasoning.take(name);
    if (wanted !== undefined && wanted !== "auto") reasoning.leave(name, wanted);
  }
  leaveRest(body, "reasoning", reasoning);
  return effort;
}

function readInclude(body: ReadObject): void {
  const others = (body.takeList("include") ?? []).filter((each) => each !== "reasoning.encrypted_content");
  if (others.length > 0) body.leave("include", others);
}

function leaveRest(body: ReadObject, name: string, part: ReadObject): void {
  const { extras } = part.takeRest() as { readonly extras?: JsonObject };
  if (extras !== undefined) body.leave(name, extras);
}
