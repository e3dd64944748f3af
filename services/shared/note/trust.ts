import { WeirError } from "../errors/weir-error.ts";
import { type NoteVerifier, parseVerifierKey } from "./key.ts";

/** Most keys in a trust file: a few regions with a few keys in rotation each. */
const KEY_LIMIT = 1000;

/**
 * Reads a trust file: one verifier key a line (`name+hash+base64`), several for rotation; blank lines and lines that start
 * with `#` are skipped. Throws SETTING_INVALID, naming the line, when a key is malformed or when
 * the file holds no key at all: an empty trust must not be mistaken for a valid one.
 */
export function parseTrust(text: string): NoteVerifier[] {
  const verifiers: NoteVerifier[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    try {
      verifiers.push(parseVerifierKey(line));
    } catch (error) {
      const reason = error instanceof Error ? error.message : "malformed";
      throw new WeirError("SETTING_INVALID", `Cannot read trust file: line ${index + 1}: ${reason}`, {
        facts: { line: String(index + 1) },
        cause: error,
      });
    }
    if (verifiers.length > KEY_LIMIT) {
      throw new WeirError("SETTING_INVALID", `Cannot read trust file: it holds more than ${KEY_LIMIT} keys`);
    }
  }
  if (verifiers.length === 0) throw new WeirError("SETTING_INVALID", "Cannot read trust file: it holds no key");
  return verifiers;
}
