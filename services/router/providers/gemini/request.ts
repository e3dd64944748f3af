import type { JsonObject } from "@bufbuild/protobuf";
import type { ChatInput } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { toObject } from "../shape.ts";
import { toContents } from "./contents.ts";
import { toGenerationConfig } from "./generation.ts";
import { CANNOT, type Lose, loseExtras } from "./lose.ts";
import { toToolConfig, toTools } from "./tools.ts";

/** Members of a request that have no typed field; extras of these names go on as they are. */
const PLAIN_EXTRAS = ["safetySettings", "cachedContent", "labels", "store", "serviceTier"];
/** Members that go on beside what the typed fields make of them. */
const JOINED_EXTRAS = ["generationConfig", "toolConfig", "tools"];

/**
 * Writes a typed request in the Gemini dialect (https://ai.google.dev/api/generate-content#request-body). What it cannot say it
 * hands to `lose`: a system's turn within the conversation, a picture's detail, at most one use of a tool, whose request it is, and
 * extras of other dialects among them. Those of its own (safetySettings, cachedContent, more of generationConfig) go on.
 */
export function composeTyped(input: ChatInput, asked: Pick<TypedAsk, "model" | "from" | "lose" | "leaveOut">): Buffer {
  const { model, from, lose } = asked;
  // No caller's format is this dialect's: what stands there by one of its names means something else ("store").
  const known = from === undefined ? [...PLAIN_EXTRAS, ...JOINED_EXTRAS] : [];
  loseExtras(input.extras, "", known, lose);
  const extras = from === undefined ? (input.extras ?? {}) : {};
  if (input.endUser !== "") lose("end_user", CANNOT);
  const { systemInstruction, contents } = toContents(input.messages, asked);
  const tools = [...toTools(input.tools, lose), ...listOwnTools(extras, lose)];
  const toolConfig = toToolConfig(input, toObject(extras.toolConfig) as JsonObject, lose);
  const generationConfig = toGenerationConfig(input, toObject(extras.generationConfig) as JsonObject, model, lose);
  const body = {
    ...Object.fromEntries(PLAIN_EXTRAS.flatMap((key) => (isSaid(extras[key]) ? [[key, extras[key]]] : []))),
    contents,
    ...(systemInstruction !== undefined && { systemInstruction }),
    ...(tools.length > 0 && { tools }),
    ...(toolConfig !== undefined && { toolConfig }),
    ...(generationConfig !== undefined && { generationConfig }),
  };
  return Buffer.from(JSON.stringify(body));
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Tools that the provider runs itself, such as `{"googleSearch":{}}`. Other dialects' have a type, which these never have. */
function listOwnTools({ tools }: JsonObject, lose: Lose): JsonObject[] {
  if (!isSaid(tools)) return [];
  const given = Array.isArray(tools) ? tools : [tools];
  return given.flatMap((tool, index) => {
    const own = toObject(tool) as JsonObject;
    if (Object.keys(own).length > 0 && own.type === undefined) return [own];
    lose(`extras["tools"][${index}]`, CANNOT);
    return [];
  });
}
