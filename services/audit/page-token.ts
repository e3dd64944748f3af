import { WeirError } from "../shared/errors/weir-error.ts";

/** What a page token stands for: which listing, and where its next page begins. */
export interface PagePlace {
  /** The request's own filter, so that a token cannot be carried over to another listing. */
  readonly filter: readonly string[];
  /** Index to stop before, fixed by the first page, so that a listing of a growing log ends. */
  readonly end: bigint;
  /** First index of the page. */
  readonly next: bigint;
}

/** Writes a page token: opaque, safe in a URL, and without authority of its own. */
export function formatPageToken({ filter, end, next }: PagePlace): string {
  return Buffer.from(JSON.stringify([...filter, String(end), String(next)])).toString("base64url");
}

/**
 * Reads a page token of a listing with this filter; undefined for the empty one. Throws ARGUMENT_INVALID for anything that
 * `formatPageToken` would not have written for it: tokens come from the caller.
 */
export function parsePageToken(token: string, filter: readonly string[]): PagePlace | undefined {
  if (token === "") return undefined;
  const parts = parse(token);
  const [end, next] = parts.slice(filter.length);
  const place = isIndex(end) && isIndex(next) ? { filter, end: BigInt(end), next: BigInt(next) } : undefined;
  if (place && formatPageToken(place) === token) return place;
  throw new WeirError("ARGUMENT_INVALID", "Cannot list: the page token is not one of this listing", {
    violations: [{ field: "page_token", description: "must come from the answer before, with the same request" }],
  });
}

function parse(token: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

function isIndex(value: unknown): value is string {
  return typeof value === "string" && /^[0-9]{1,18}$/.test(value);
}
