import { invalid } from "./invalid.ts";

const DATA = /^data:([\w.+-]+\/[\w.+-]+)?(?:;[\w.+-]+=[\w.+"-]+)*(;base64)?,/i;

/** What a URL in a request leads to: bytes that stand in it, or an address that the provider fetches. */
export type MediaSource =
  | { readonly source: { readonly case: "content"; readonly value: Uint8Array }; readonly mediaType: string }
  | { readonly source: { readonly case: "url"; readonly value: string }; readonly mediaType?: undefined };

/** Reads a URL of a picture or file: `data:` (RFC 2397, base64 only), else http or https. Throws ARGUMENT_INVALID for any other. */
export function readMediaUrl(url: string, field: string): MediaSource {
  if (/^https?:\/\//i.test(url)) {
    if (Buffer.byteLength(url) > 8192) throw invalid(field, "must have at most 8192 bytes");
    return { source: { case: "url", value: url } };
  }
  // Only its beginning is looked at by the pattern: the rest may be megabytes.
  const match = DATA.exec(url.slice(0, 512));
  if (match === null) throw invalid(field, "must be a data URL in base64, or begin with http");
  const [head, mediaType, base64] = match;
  if (base64 === undefined) throw invalid(field, "must be a data URL in base64, or begin with http");
  return {
    source: { case: "content", value: readBase64(url.slice(head.length), field) },
    mediaType: mediaType?.toLowerCase() ?? "application/octet-stream",
  };
}

/** Reads bytes in base64. Throws ARGUMENT_INVALID for what is none. */
export function readBase64(text: string, field: string): Uint8Array {
  const bytes = Buffer.from(text, "base64");
  // Node skips what is not base64: then there are fewer bytes than characters promise.
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  if (bytes.length !== Math.floor(((text.length - padding) * 3) / 4)) throw invalid(field, "must be base64");
  return bytes;
}
