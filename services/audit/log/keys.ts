import { WeirError } from "../../shared/errors/weir-error.ts";
import { type NoteSigner, parseSignerKey, parseTrust, parseVerifierKey } from "../../shared/note/note.ts";
import type { LogIdentity } from "./check.ts";

/** The texts of a log's key files. */
export interface LogKeyTexts {
  readonly origin: string;
  /** `PRIVATE+KEY+name+hash+base64`. */
  readonly signerKey: string;
  /** Verifier keys of this log that signed before, one a line. */
  readonly retiredKeys?: string | undefined;
}

/**
 * Reads the keys of a log. A log's key has the log's own name, so that a key that got into the wrong place signs nothing; otherwise
 * SETTING_INVALID.
 */
export function readLogKeys(texts: LogKeyTexts): { signer: NoteSigner; identity: LogIdentity } {
  const { origin, signerKey, retiredKeys } = texts;
  const signer = parseSignerKey(signerKey);
  const retired = retiredKeys === undefined ? [] : parseTrust(retiredKeys);
  const stranger = [signer, ...retired].find(({ name }) => name !== origin);
  if (stranger) {
    throw new WeirError("SETTING_INVALID", `Cannot use key: it is named "${stranger.name}", the log "${origin}"`, {
      facts: { key: stranger.name, origin },
    });
  }
  return { signer, identity: { origin, verifiers: [parseVerifierKey(signer.verifierKey), ...retired] } };
}
