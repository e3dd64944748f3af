import type { JsonObject } from "@bufbuild/protobuf";
import { isExactNumber } from "./exact-json.ts";

/** A member that should be an object; an empty one when it is none. What comes from outside is read so where it may be anything. */
export function toObject(value: unknown): Record<string, unknown> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value) && !isExactNumber(value);
  return isObject ? (value as Record<string, unknown>) : {};
}

/** A member that should be a list; an empty one when it is none. */
export function toList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A member that should be a text; an empty one when it is none. */
export function toText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** What only a dialect knows, if there is any: members that are null say nothing. */
export function toExtras(members: Record<string, unknown>): { readonly extras?: JsonObject } {
  const said = Object.entries(members).filter(([, value]) => value !== null && value !== undefined);
  return said.length === 0 ? {} : { extras: Object.fromEntries(said) as JsonObject };
}
