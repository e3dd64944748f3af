import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { requireFewJsonValues } from "../../shared/validation/few-values.ts";
import { isExactNumber, parseExact, toNumber } from "../providers/exact-json.ts";
import { invalid } from "./invalid.ts";
import { MOST_CALL_VALUES } from "./most-call-values.ts";

/** Longest integer that is read, in characters; the longest of 64 bits has twenty. */
const LONGEST_INTEGER = 32;

/** Reads a body that was scanned and is to be translated. Throws BODY_TOO_LARGE when it has more values than become objects at a time. */
export function readBodyObject(body: Buffer): ReadObject {
  requireFewJsonValues(body, MOST_CALL_VALUES);
  return new ReadObject(parseExact(body.toString("utf8")), "");
}

/**
 * A JSON object of a caller, parsed with its numbers exact, taken apart member by member: what was taken is typed, and what nobody took is left over. Members that are
 * null count as absent. Each reading throws ARGUMENT_INVALID, with the member's path, for what is of another type.
 */
export class ReadObject {
  readonly #members: Map<string, JsonValue>;
  readonly #path: string;

  /** `path` is that of the object as the caller wrote it; empty for the whole body. */
  constructor(value: unknown, path: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || isExactNumber(value)) {
      throw invalid(path, "must be an object");
    }
    this.#members = new Map(Object.entries(value as JsonObject));
    this.#path = path;
  }

  /** Path of a member. */
  pathOf(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  /** Takes a member as it is; undefined when absent. */
  take(name: string): JsonValue | undefined {
    const value = this.#members.get(name);
    this.#members.delete(name);
    return value ?? undefined;
  }

  /** Puts a member back among those that are left over. */
  leave(name: string, value: JsonValue): void {
    this.#members.set(name, value);
  }

  takeText(name: string): string | undefined {
    const value = this.take(name);
    if (value === undefined || typeof value === "string") return value;
    throw invalid(this.pathOf(name), "must be a text");
  }

  getText(name: string): string {
    const value = this.takeText(name);
    if (value === undefined) throw invalid(this.pathOf(name), "is missing");
    return value;
  }

  /** A number, as a double: of one of these every provider reads no more digits. */
  takeNumber(name: string): number | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    const number = toNumber(value);
    if (number === undefined || !Number.isFinite(number)) throw invalid(this.pathOf(name), "must be a number");
    return number;
  }

  /** A whole number, with all its digits, from `least` to `most`, which are those of a double where nothing else is said. */
  takeInteger(
    name: string,
    least: number | bigint = Number.MIN_SAFE_INTEGER,
    most: number | bigint = Number.MAX_SAFE_INTEGER,
  ): bigint | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    const number = toNumber(value);
    if (number === undefined) throw invalid(this.pathOf(name), "must be a number");
    const whole = toInteger(value, number);
    if (whole === undefined || whole < least || whole > most) {
      throw invalid(this.pathOf(name), "must be a whole number in its range");
    }
    return whole;
  }

  takeFlag(name: string): boolean | undefined {
    const value = this.take(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw invalid(this.pathOf(name), "must be true or false");
  }

  takeList(name: string): readonly JsonValue[] | undefined {
    const value = this.take(name);
    if (value === undefined || Array.isArray(value)) return value;
    throw invalid(this.pathOf(name), "must be a list");
  }

  takeObject(name: string): ReadObject | undefined {
    const value = this.take(name);
    return value === undefined ? undefined : new ReadObject(value, this.pathOf(name));
  }

  /** What nobody took, as extras; nothing when that is nothing. */
  takeRest(): { readonly extras?: JsonObject } {
    const rest = [...this.#members].filter(([, value]) => value !== null);
    this.#members.clear();
    return rest.length === 0 ? {} : { extras: Object.fromEntries(rest) };
  }
}

/** The integer that a value is; undefined for what is none. `1.0` and `1e3` are, while a double holds them. */
function toInteger(value: JsonValue, number: number): bigint | undefined {
  if (Number.isSafeInteger(number)) return BigInt(number);
  const text = isExactNumber(value) ? value.rawJSON : String(number);
  return text.length <= LONGEST_INTEGER && /^-?\d+$/.test(text) ? BigInt(text) : undefined;
}
