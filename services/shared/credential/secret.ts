/** Printable ASCII without spaces: what can stand in a header. */
const SECRET = /^[\x21-\x7e]{1,8192}$/;

/**
 * A provider's credential from the text of a file or an envelope: without white space around it, a JSON object (a credential of several
 * parts) without any between its parts. Undefined when it is empty or can't stand in a header.
 */
export function toSecret(text: string): string | undefined {
  const secret = compact(text.trim());
  return SECRET.test(secret) ? secret : undefined;
}

function compact(secret: string): string {
  if (!secret.startsWith("{")) return secret;
  try {
    return JSON.stringify(JSON.parse(secret));
  } catch {
    // Whose credential it is knows what it must be; the parser's words would quote it.
    return secret;
  }
}
