import type { JsonValue } from "@bufbuild/protobuf";

/** What ECMAScript's source text access adds, of which TypeScript's library knows nothing yet. */
interface SourceAccess {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
}

const json = JSON as unknown as SourceAccess;

/**
 * Parses JSON so that `JSON.stringify` writes whole numbers again as they were, those that a double can't hold included: an id of twenty
 * digits in a tool's input must reach the tool as the model wrote it. Such a number becomes an opaque object; what is read as a number must
 * be checked to be one, as ever. Throws SyntaxError. The text must be of bounded depth.
 */
export function parseExact(text: string): JsonValue {
  return json.parse(text, keepNumber) as JsonValue;
}

function keepNumber(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== "number" || source === undefined) return value;
  // Of fractions the digits beyond those of a double are nobody's: every reader takes them for a double.
  const isExact = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
  return isExact ? value : json.rawJSON(source);
}
