import type { JsonObject } from "@bufbuild/protobuf";
import type { TypedAsk } from "../dialect.ts";
import { parseObject } from "../parse-object.ts";

/** How what can't be said is handed over. */
export type Lose = TypedAsk["lose"];

/** What is said of what has no place in this dialect. */
export const CANNOT = "can't be said in the Gemini dialect";

/**
 * Hands over each extra that is not among `known`. `path` is that of the message that has them, with a dot at its end unless it is
 * the request. An extra that is null says nothing.
 */
export function loseExtras(extras: JsonObject | undefined, path: string, known: readonly string[], lose: Lose): void {
  if (extras === undefined) return;
  for (const [key, value] of Object.entries(extras)) {
    if (value !== null && !known.includes(key)) lose(`${path}extras["${key}"]`, CANNOT);
  }
}

/** Parses a JSON object that a caller wrote as text. Hands over what is none, or is nested too deep, and then returns undefined. */
export function parseOrLose(json: string, field: string, lose: Lose): JsonObject | undefined {
  const object = parseObject(json);
  if (object === undefined) lose(field, "is not a JSON object, or is nested too deep");
  return object;
}
