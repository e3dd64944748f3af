const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(.))/gs;
const PLAIN: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/**
 * The text that stands in the strings of JSON, joined and without their quotes. It may be cut off anywhere, within an escape or a
 * character too; what is left of that stays as it is.
 */
export function readEscaped(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  if (!text.includes("\\")) return text;
  return text.replace(ESCAPE, (_, unit: string | undefined, plain: string) =>
    unit === undefined ? (PLAIN[plain] ?? plain) : String.fromCharCode(Number.parseInt(unit, 16)),
  );
}
