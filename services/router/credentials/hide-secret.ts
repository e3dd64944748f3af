/** A part of a credential shorter than this is a word that a provider may well use. */
const SHORTEST_PART = 8;

/**
 * Makes what takes a credential out of a text, should a provider quote it: whole or in its parts when it is a JSON object, as it is,
 * percent-encoded, in base64 or in hexadecimal digits. Each becomes "…". For refusals and errors; what a provider answers is relayed as it is.
 */
export function createSecretHider(secret: string): (text: string) => string {
  if (secret === "") return (text) => text;
  const forms = new Set([secret, ...listParts(secret)].flatMap(listForms));
  // The longest first: a shorter one may be within it.
  const hidden = [...forms].sort((a, b) => b.length - a.length);
  return (text) => hidden.reduce((rest, form) => rest.replaceAll(form, "…"), text);
}

function listParts(secret: string): string[] {
  if (!secret.startsWith("{")) return [];
  try {
    const parts = Object.values(JSON.parse(secret) as object);
    return parts.filter((part): part is string => typeof part === "string" && part.length >= SHORTEST_PART);
  } catch {
    return [];
  }
}

function listForms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString("hex");
  // Within a JSON text a quotation mark stands behind a backslash.
  const quoted = JSON.stringify(secret).slice(1, -1);
  const base64 = bytes.toString("base64").replace(/=+$/, "");
  return [secret, quoted, encodeURIComponent(secret), base64, bytes.toString("base64url"), hex, hex.toUpperCase()];
}
