import type { DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { WeirError } from "../errors/weir-error.ts";

/**
 * Most values of a request to a service of the control plane: a policy may have as many. A process reads, checks and holds them within half
 * a second and some tens of megabytes. Two bytes of a request may become an object of a hundred, so that a bound of its bytes alone
 * bounds neither.
 */
export const MOST_VALUES = 300_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const OPEN_BRACE = 0x7b;

/**
 * Throws BODY_TOO_LARGE for JSON that has more than `most` objects, lists and members. The text comes from outside and may be
 * no JSON: its parser says so.
 */
export function requireFewJsonValues(json: Buffer, most: number): void {
  // Each takes a byte at least.
  if (json.length <= most) return;
  let values = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = findEndOfText(json, at);
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET || byte === COLON) {
      values += 1;
      if (values > most) throw tooMany(most);
    }
  }
}

/**
 * Throws BODY_TOO_LARGE for the bytes of a message that has more than `most` fields, those of messages within it and those that
 * nobody knows included. A packed list is one field. The bytes come from outside and may be no message: its decoder says so.
 */
export function requireFewFields(schema: DescMessage, bytes: Uint8Array, most: number): void {
  // Each takes two bytes at least.
  if (bytes.length <= 2 * most) return;
  if (!hasFewFields(shapeOf(schema), bytes, most)) throw tooMany(most);
}

function hasFewFields(root: Shape, bytes: Uint8Array, most: number): boolean {
  const reader = new BinaryReader(bytes);
  const open = [{ shape: root, end: bytes.length }];
  try {
    for (let values = 0; ; ) {
      while (open.length > 0 && reader.pos >= open.at(-1)!.end) open.pop();
      const message = open.at(-1);
      if (message === undefined) return true;
      values += 1;
      if (values > most) return false;
      const [number, wireType] = reader.tag();
      const nested = wireType === WireType.LengthDelimited ? message.shape.get(number) : undefined;
      if (nested === undefined) reader.skip(wireType, number);
      else open.push({ shape: nested(), end: reader.uint32() + reader.pos });
    }
  } catch {
    return true; // no message: whoever decodes it says why
  }
}

/** The fields of a message that hold messages, by number, with the shapes of those. */
type Shape = ReadonlyMap<number, () => Shape>;

const shapes = new WeakMap<DescMessage, Shape>();

function shapeOf(schema: DescMessage): Shape {
  let shape = shapes.get(schema);
  if (shape === undefined) {
    shape = new Map(
      schema.fields.flatMap(({ number, fieldKind, message }) => {
        if (message === undefined) return [];
        const held = () => shapeOf(message);
        // An entry of a map is a message whose second field is the value.
        return [[number, fieldKind === "map" ? () => new Map([[2, held]]) : held] as const];
      }),
    );
    shapes.set(schema, shape);
  }
  return shape;
}

/** Index of the quotation mark that ends the text which begins at `start`; that of the last byte when none does. */
function findEndOfText(json: Buffer, start: number): number {
  for (let at = start; ; ) {
    at = json.indexOf(QUOTE, at + 1);
    if (at === -1) return json.length - 1;
    let backslashes = 0;
    while (json[at - 1 - backslashes] === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return at;
  }
}

function tooMany(most: number): WeirError {
  return new WeirError("BODY_TOO_LARGE", `Cannot read request: it has more than ${most} values; send fewer at once`, {
    facts: { limit_values: String(most) },
  });
}
