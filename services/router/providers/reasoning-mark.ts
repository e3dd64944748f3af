/**
 * Providers sign reasoning, or hide it, and refuse a request in which stands what they did not sign (Anthropic
 * https://platform.claude.com/docs/en/build-with-claude/thinking, Gemini https://ai.google.dev/gemini-api/docs/thought-signatures, OpenAI
 * with `invalid_encrypted_content`). A conversation may go on at another target than the one that reasoned, so marks say who signed:
 * within typed messages what is Google's or OpenAI's bears its maker's; what bears none is Anthropic's, Claude's at Bedrock included, since
 * what Anthropic signs is relayed as it came. On the way back a dialect takes the mark off its own and leaves all others out.
 */

/** How each mark begins: with a byte that is rare in texts, for each body that is relayed is searched for it. */
const MARK = "~weir-";
const MARK_BYTES = Buffer.from(MARK);
/** Stands before a signature, perhaps an empty one, in a format that has no place of its own for it. */
const SIGNATURE_MARK = `${MARK}signature:`;
/** The same before hidden reasoning. */
const REDACTED_MARK = `${MARK}redacted:`;

/** Who signs reasoning. */
export type Signer = "anthropic" | "google" | "openai";

/** How what OpenAI encrypts begins (https://github.com/fernet/spec: version 0x80 and a time of this century). */
const FERNET = "gAAAA";

/** Puts a signer's mark before what it signed or hid. An empty text stays empty. */
export function markSigner(signer: Exclude<Signer, "anthropic">, text: string): string {
  return text === "" ? "" : `${MARK}${signer}:${text}`;
}

/** What this signer signed or hid, as it did; empty when it is another's, or nobody's. */
export function findSignedBy(signer: Signer, text: string): string {
  if (signer === "anthropic") return text.startsWith(MARK) || text.startsWith(FERNET) ? "" : text;
  const mark = `${MARK}${signer}:`;
  return text.startsWith(mark) ? text.slice(mark.length) : "";
}

/** Writes a signature, or else hidden reasoning, where a format has one member for both, or none of its own. Unsigned reasoning is marked, too. */
export function writeMarked({
  signature,
  redacted,
}: {
  readonly signature: string;
  readonly redacted: string;
}): string {
  return signature === "" && redacted !== "" ? `${REDACTED_MARK}${redacted}` : `${SIGNATURE_MARK}${signature}`;
}

/** Reads it again; undefined for what Weir did not write. */
export function readMarked(text: string): { readonly signature: string; readonly redacted: string } | undefined {
  if (text.startsWith(SIGNATURE_MARK)) return { signature: text.slice(SIGNATURE_MARK.length), redacted: "" };
  if (text.startsWith(REDACTED_MARK)) return { signature: "", redacted: text.slice(REDACTED_MARK.length) };
  return undefined;
}

/** Whether a member holds what bears a mark. */
export function isMarked(value: unknown): boolean {
  return typeof value === "string" && value.startsWith(MARK);
}

/** Whether a mark may stand somewhere in a body. Escapes, which clients have no reason to use there, hide it. */
export function mayBeMarked(body: Buffer): boolean {
  return body.includes(MARK_BYTES);
}
