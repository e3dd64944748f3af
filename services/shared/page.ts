import { createHash } from "node:crypto";
import { WeirError } from "./errors/weir-error.ts";

/** How many items a page has: what was asked for, at most `max`; 0 means the default. */
export function readPageSize(asked: number, bounds: { readonly default: number; readonly max: number }): number {
  return asked === 0 ? bounds.default : Math.min(asked, bounds.max);
}

/**
 * Makes an opaque token, safe in a URL, that leads on from a place in a list. It is bound to the list: the name of what is
 * listed and the question that was asked, as JSON. It gives no right to anything: whoever shows it is asked again who it is.
 */
export function createPageToken(list: readonly unknown[], place: readonly string[]): string {
  return Buffer.from(JSON.stringify([digestOf(list), ...place])).toString("base64url");
}

/**
 * Reads a token of the same list: its place, of `length` texts; nothing for the empty token of a first page. The token comes
 * from outside: ARGUMENT_INVALID for one of another list, and for anything that `createPageToken` did not make. The place is
 * only as trustworthy as any other argument.
 */
export function readPageToken(list: readonly unknown[], token: string, length: number): readonly string[] | undefined {
  if (token === "") return undefined;
  const [digest, ...place] = parse(token);
  const isPlace = place.length === length && place.every((part) => typeof part === "string" && !part.includes("\0"));
  if (digest !== digestOf(list) || !isPlace) throw refuse();
  return place as string[];
}

/** Reads a token whose place is one number; nothing for the empty token of a first page. */
export function readNumberToken(list: readonly unknown[], token: string): bigint | undefined {
  const place = readPageToken(list, token, 1);
  return place && readPlaceNumber(place[0]);
}

/** A place that is a number from 0 to the largest int64; ARGUMENT_INVALID for any other text. */
export function readPlaceNumber(text: string | undefined): bigint {
  if (text === undefined || !/^[0-9]{1,19}$/.test(text) || BigInt(text) >= 2n ** 63n) throw refuse();
  return BigInt(text);
}

/** A place that is a UUID as PostgreSQL writes it; ARGUMENT_INVALID for any other text. */
export function readPlaceId(text: string | undefined): string {
  if (text === undefined || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) throw refuse();
  return text;
}

function parse(token: string): readonly unknown[] {
  try {
    const bytes = Buffer.from(token, "base64url");
    // Node reads more than one text as the same bytes; only the one that we write is ours.
    const value: unknown = bytes.toString("base64url") === token ? JSON.parse(bytes.toString()) : [];
    return Array.isArray(value) ? value : [];
  } catch {
    // Whatever else it is, it is none of our tokens.
    return [];
  }
}

function digestOf(list: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(list)).digest("base64url").slice(0, 22);
}

function refuse(): WeirError {
  const violations = [{ field: "page_token", description: "must come from the answer before, with the same question" }];
  return new WeirError("ARGUMENT_INVALID", "Cannot read page_token: it is not one of this list", { violations });
}
