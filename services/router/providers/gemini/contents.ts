import type { JsonObject } from "@bufbuild/protobuf";
import { type Block, type Message, Role, type ToolResultBlock } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAsk } from "../dialect.ts";
import { findSignedBy, isMarked } from "../reasoning-mark.ts";
import { toObject, toText } from "../shape.ts";
import { CANNOT, type Lose, loseExtras, parseOrLose } from "./lose.ts";
import { toMediaPart } from "./media.ts";
import { readTraits } from "./model.ts";

/** A turn as the dialect has it. */
interface Content {
  readonly role: "user" | "model";
  readonly parts: JsonObject[];
}

/** What becomes of what can't be said, and of reasoning that another provider's model made. */
type Losing = Pick<TypedAsk, "lose" | "leaveOut">;

/** Name under which a caller may send the signature of a part that is no reasoning. */
const SIGNATURE = "thought_signature";
/** What else a part may have beside its kind; extras of these names go on. */
const PART_EXTRAS = ["videoMetadata", "mediaResolution", "partMetadata"];
/** Parts that have no typed form: they come back in the extras of an empty text. */
const UNTYPED_PARTS = ["executableCode", "codeExecutionResult", "toolCall", "toolResponse"];

/**
 * Stands for the signature of a use of a tool that this provider did not make: without one its newer models refuse the turn
 * (https://ai.google.dev/gemini-api/docs/thought-signatures#faqs).
 */
const FOREIGN_SIGNATURE = "skip_thought_signature_validator";

/**
 * Writes the conversation (https://ai.google.dev/api/caching#Content). It has two voices: the model, and the user, for whom tools
 * speak, too. What follows each other of the model becomes one turn, as do results of tools, because the results of parallel uses
 * must come together. A result names the tool's name, which is found by the id of its use.
 */
export function toContents(
  messages: readonly Message[],
  asked: Pick<TypedAsk, "model" | "lose" | "leaveOut">,
): { readonly systemInstruction?: JsonObject; readonly contents: Content[] } {
  const { model, lose } = asked;
  const system: JsonObject[] = [];
  const contents: Content[] = [];
  const names = new Map<string, string>();
  let hasResultsLast = false;
  for (const [index, message] of messages.entries()) {
    const field = `messages[${index}]`;
    loseExtras(message.extras, `${field}.`, [], lose);
    if (message.name !== "") lose(`${field}.name`, CANNOT);
    if (message.role === Role.SYSTEM || message.role === Role.DEVELOPER) {
      // What is lost is the place: it is said before all else then.
      if (contents.length > 0) lose(`${field}.role`, `within the conversation ${CANNOT}: the system speaks first`);
      system.push(...toSystemParts(message.blocks, field, lose));
      continue;
    }
    const parts = message.blocks.flatMap((block, at) => toParts(block, `${field}.blocks[${at}]`, names, asked));
    const last = contents.at(-1);
    if (message.role === Role.ASSISTANT) {
      if (last?.role === "model") last.parts.push(...parts);
      // An assistant that said nothing has no turn.
      else if (parts.length > 0) contents.push({ role: "model", parts });
      hasResultsLast = false;
      continue;
    }
    const isResults = parts.length > 0 && parts.every((part) => part.functionResponse !== undefined);
    if (isResults && hasResultsLast) last?.parts.push(...parts);
    else contents.push({ role: "user", parts: parts.length > 0 ? parts : [{ text: "" }] });
    hasResultsLast = isResults;
  }
  const { wantsSignatures } = readTraits(model);
  for (const content of contents) {
    if (content.role !== "model") continue;
    joinSignatures(content.parts);
    if (wantsSignatures) signForeignUses(content.parts);
  }
  return { ...(system.length > 0 && { systemInstruction: { parts: system } }), contents };
}

function toSystemParts(blocks: readonly Block[], field: string, lose: Lose): JsonObject[] {
  return blocks.flatMap(({ content, extras }, at) => {
    loseExtras(extras, `${field}.blocks[${at}].`, [], lose);
    if (content.case === "text") return [{ text: content.value.text }];
    lose(`${field}.blocks[${at}]`, "of a system's turn must be text in the Gemini dialect");
    return [];
  });
}

/** Writes a block; an empty list for one that has nothing to say. */
function toParts(block: Block, field: string, names: Map<string, string>, asked: Losing): JsonObject[] {
  const { content, extras } = block;
  const { lose } = asked;
  switch (content.case) {
    case "text":
      return toTextParts(content.value.text, extras, field, lose);
    case "image":
    case "file": {
      const part = toMediaPart(content, field, lose);
      return part === undefined ? [] : [{ ...part, ...toPartExtras(extras, field, [], lose) }];
    }
    case "toolUse": {
      const { id, name, inputJson } = content.value;
      names.set(id, name);
      const args = inputJson === "" ? {} : (parseOrLose(inputJson, `${field}.tool_use.input_json`, lose) ?? {});
      const call = { ...(id !== "" && { id }), name, args };
      return [{ functionCall: call, ...toPartExtras(extras, field, [], lose) }];
    }
    case "toolResult": {
      const name = names.get(content.value.toolUseId);
      if (name === undefined) {
        lose(`${field}.tool_result.tool_use_id`, "names no use of a tool in an earlier turn");
        return [];
      }
      loseExtras(extras, `${field}.`, [], lose);
      return [{ functionResponse: toFunctionResponse(content.value, name, `${field}.tool_result`, lose) }];
    }
    case "reasoning":
      return toReasoning(block, field, asked);
    case "refusal":
      // The dialect tells no refusal from another text of the model.
      return toTextParts(content.value.text, extras, field, lose);
    default:
      lose(field, CANNOT);
      return [];
  }
}

function toTextParts(text: string, extras: JsonObject | undefined, field: string, lose: Lose): JsonObject[] {
  const more = toPartExtras(extras, field, text === "" ? UNTYPED_PARTS : [], lose);
  const isUntyped = UNTYPED_PARTS.some((key) => more[key] !== undefined);
  return [isUntyped ? more : { text, ...more }];
}

/**
 * Writes reasoning, which is never said aloud. Unsigned words are taken; another provider's signature is refused
 * (https://ai.google.dev/gemini-api/docs/thought-signatures), and what another one hides can't be read.
 */
function toReasoning({ content, extras }: Block, field: string, { lose, leaveOut }: Losing): JsonObject[] {
  loseExtras(extras, `${field}.`, [], lose);
  if (content.case !== "reasoning") return [];
  const { text } = content.value;
  const signature = findSignedBy("google", content.value.signature);
  const signed: JsonObject = signature === "" ? {} : { thoughtSignature: signature };
  if (text !== "") return [{ text, thought: true, ...signed }];
  if (signature !== "") return [{ text, ...signed }];
  leaveOut(field);
  return [];
}

/** The signature, wherever a caller's format puts it, and what else a part may have. */
function toPartExtras(extras: JsonObject | undefined, field: string, kinds: readonly string[], lose: Lose): JsonObject {
  if (extras === undefined) return {};
  const known = [...PART_EXTRAS, ...kinds];
  loseExtras(extras, `${field}.`, [...known, SIGNATURE, "extra_content"], lose);
  const part: JsonObject = {};
  for (const key of known) {
    const value = extras[key];
    if (value !== undefined && value !== null) part[key] = value;
  }
  // Google's OpenAI-compatible endpoint puts it into `extra_content.google`, and so do clients that were written for that.
  const signature = toText(extras[SIGNATURE]) || toText(toObject(toObject(extras.extra_content).google)[SIGNATURE]);
  const own = isMarked(signature) ? findSignedBy("google", signature) : signature;
  if (own !== "") part.thoughtSignature = own;
  return part;
}

/**
 * Writes the answer of a tool. Its text goes as a text, even where it is JSON: numbers would lose digits otherwise, since they
 * are doubles here. Pictures and files go beside it.
 */
function toFunctionResponse(result: ToolResultBlock, name: string, field: string, lose: Lose): JsonObject {
  const texts: string[] = [];
  const parts: JsonObject[] = [];
  for (const [at, { content, extras }] of result.blocks.entries()) {
    const place = `${field}.blocks[${at}]`;
    loseExtras(extras, `${place}.`, [], lose);
    if (content.case === "text") {
      texts.push(content.value.text);
    } else if ((content.case === "image" || content.case === "file") && content.value.source.case === "content") {
      const part = toMediaPart(content, place, lose);
      if (part !== undefined) parts.push(part);
    } else {
      lose(place, "of a tool's result must be text, or the bytes of an image or a file, in the Gemini dialect");
    }
  }
  return {
    ...(result.toolUseId !== "" && { id: result.toolUseId }),
    name,
    response: { [result.failed ? "error" : "output"]: texts.length > 1 ? texts : (texts[0] ?? "") },
    ...(parts.length > 0 && { parts }),
  };
}

/**
 * Takes signatures that came as reasoning without words back to their parts: each to the next part behind it that is neither text
 * nor signed. Text may stand between, since some formats have all reasoning first. One that finds none is that of a text, and
 * stays where it is.
 */
function joinSignatures(parts: JsonObject[]): void {
  let open = -1;
  for (let at = 0; at < parts.length; at += 1) {
    const part = parts[at]!;
    if (part.text === "" && part.thoughtSignature !== undefined) {
      open = at;
      continue;
    }
    if (part.text !== undefined || open < 0) continue;
    const { thoughtSignature } = parts[open]!;
    const isOwn = part.thoughtSignature === undefined || part.thoughtSignature === thoughtSignature;
    if (isOwn) {
      part.thoughtSignature = thoughtSignature!;
      parts.splice(open, 1);
      at -= 1;
    }
    open = -1;
  }
}

/** Of parallel uses the first one carries the signature, so one is enough for a turn. */
function signForeignUses(parts: readonly JsonObject[]): void {
  const uses = parts.filter((part) => part.functionCall !== undefined);
  const [first] = uses;
  if (first === undefined || uses.some((part) => part.thoughtSignature !== undefined)) return;
  first.thoughtSignature = FOREIGN_SIGNATURE;
}
