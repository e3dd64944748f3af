import type { JsonValue } from "@bufbuild/protobuf";

/** What ECMAScript's source text access adds, of which TypeScript's library knows nothing yet. */
interface SourceAccess {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): value is { readonly rawJSON: string };
}

const json = JSON as unknown as SourceAccess;

/**
 * Parses JSON so that `JSON.stringify` writes its numbers again as they were: an id of twenty digits in a tool's input must reach the tool
 * as the model wrote it, and `1.0` must not become an integer. A number that a double would be written otherwise for becomes an opaque
 * object, of which {@link toNumber} and {@link isExactNumber} know. Throws SyntaxError. The text must be of bounded depth.
 */
export function parseExact(text: string): JsonValue {
  // To look at each value takes three times as long as the parse, and hardly any text needs it.
  return (INEXACT.test(text) ? json.parse(text, keepNumber) : JSON.parse(text)) as JsonValue;
}

/**
 * Finds a number that a double may be written otherwise for: minus zero, 16 characters and more, an exponent, a zero at a fraction's end,
 * a fraction below a millionth. It may stand within a text; that costs time only.
 */
const INEXACT = /(?:^|[[:,])\s*-?(?:(?<=-)0|\d[\d.]{15}|[\d.]+[eE]|\d+\.\d*0(?!\d)|0\.0{6})/;

function keepNumber(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  return typeof value !== "number" || source === undefined || String(value) === source ? value : json.rawJSON(source);
}

/** Whether a parsed value is a number that is kept as it was written, and so no object, though `typeof` says so. */
export function isExactNumber(value: unknown): value is { readonly rawJSON: string } {
  return json.isRawJSON(value);
}

/** The number that a parsed value is, as a double reads it, perhaps infinite; undefined for what is none. */
export function toNumber(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return isExactNumber(value) ? Number(value.rawJSON) : undefined;
}

/** An integer to be written by `JSON.stringify` with all its digits. */
export function writeInteger(value: bigint): JsonValue {
  const asNumber = Number(value);
  return Number.isSafeInteger(asNumber) ? asNumber : (json.rawJSON(String(value)) as JsonValue);
}

/**
 * The same value with plain numbers, for what holds doubles only: a google.protobuf.Struct. Digits beyond those of a double are lost
 * there; what none can hold at all becomes a text.
 */
export function toDoubles<Value>(value: Value): Value {
  if (typeof value !== "object" || value === null) return value;
  if (isExactNumber(value)) {
    const number = Number(value.rawJSON);
    return (Number.isFinite(number) ? number : value.rawJSON) as Value;
  }
  if (Array.isArray(value)) return value.map(toDoubles) as Value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toDoubles(member)])) as Value;
}
