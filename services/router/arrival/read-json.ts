import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { invalid } from "./invalid.ts";

/**
 * A JSON object of a caller, taken apart member by member: what was taken is typed, and what nobody took is left over. Members that are
 * null count as absent. Each reading throws ARGUMENT_INVALID, with the member's path, for what is of another type.
 */
export class ReadObject {
  readonly #members: Map<string, JsonValue>;
  readonly #path: string;

  /** `path` is that of the object as the caller wrote it; empty for the whole body. */
  constructor(value: unknown, path: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(path, "must be an object");
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

  takeNumber(name: string): number | undefined {
    const value = this.take(name);
    if (value === undefined || typeof value === "number") return value;
    throw invalid(this.pathOf(name), "must be a number");
  }

  /** A whole number, from `least` to 2^53 - 1. */
  takeInteger(name: string, least = Number.MIN_SAFE_INTEGER): bigint | undefined {
    const value = this.takeNumber(name);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || value < least)
      throw invalid(this.pathOf(name), "must be a whole number in its range");
    return BigInt(value);
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
