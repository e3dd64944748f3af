import { type NoteVerifier, type OpenedNote, openNote } from "../../shared/note/note.ts";
import { type Checkpoint, parseCheckpoint } from "../merkle/checkpoint.ts";
import { Refusal } from "./verdict.ts";

/** What a verifier believes before it looks. */
export interface Trust {
  /** Public keys of logs, from a trust file that came another way than what is verified. */
  readonly verifiers: readonly NoteVerifier[];
  /** The log that is expected. Default: any whose key is trusted. */
  readonly origin?: string;
}

/**
 * Opens a checkpoint that came from anywhere. The signature must be by a trusted key that has the log's own name: the key of another
 * log, trusted for that one, proves nothing about this. Throws `Refusal`.
 */
export function openCheckpoint(note: Uint8Array, trust: Trust): Checkpoint {
  const opened = attempt("UNTRUSTED", () => openNote(note, trust.verifiers));
  const checkpoint = attempt("MALFORMED", () => parseCheckpoint(opened.text));
  if (!isSignedBy(opened, checkpoint.origin)) {
    throw new Refusal("UNTRUSTED", `Cannot trust checkpoint: "${checkpoint.origin}" did not sign it`);
  }
  if (trust.origin !== undefined && trust.origin !== checkpoint.origin) {
    throw new Refusal("UNTRUSTED", `Cannot trust checkpoint: it is of "${checkpoint.origin}", not "${trust.origin}"`);
  }
  return checkpoint;
}

function isSignedBy(opened: OpenedNote, name: string): boolean {
  return opened.signatures.some((signature) => signature.name === name);
}

/** Runs a parser of ours on foreign bytes: what it refuses becomes a refusal with its words. */
export function attempt<T>(fault: "UNTRUSTED" | "MALFORMED", parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Refusal(fault, error instanceof Error ? error.message : String(error));
  }
}
