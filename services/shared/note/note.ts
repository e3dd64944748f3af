/**
 * C2SP signed note (c2sp.org/signed-note v1.0.0): a text with signature lines below it, readable by people and checked by
 * any tool of the family. Heads of snapshots and keyrings and the checkpoints of audit logs are such notes.
 */
import { WeirError } from "../errors/weir-error.ts";
import { isKeyName, type NoteSigner, type NoteVerifier } from "./key.ts";

export {
  createSigner,
  generateNoteKey,
  isKeyName,
  type NoteKeyPair,
  type NoteSigner,
  type NoteVerifier,
  parseSignerKey,
  parseVerifierKey,
} from "./key.ts";
export { parseTrust } from "./trust.ts";

/** Largest note that is opened, in bytes; our own have a few hundred. */
const NOTE_LIMIT = 1_000_000;
/** The specification demands at least 16; each further line costs a verification, so there is an end to it. */
const SIGNATURE_LIMIT = 64;
const SIGNATURE_START = "— ";

/** A signature that verified: which of the given keys made it. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: number;
}

/** A note of which at least one signature was made by a trusted key. */
export interface OpenedNote {
  /** The signed text with its final newline. */
  readonly text: string;
  /** The signatures by the given keys, each key once. Signatures of unknown keys are left out. */
  readonly signatures: readonly NoteSignature[];
}

/**
 * Signs `text` and returns the note's bytes. The text must end with a newline and hold no control character but newlines;
 * anything else throws PROOF_REFUSED, since no reader would accept the note.
 */
export function signNote(text: string, signer: NoteSigner): Uint8Array {
  const problem = findTextProblem(text);
  if (problem) throw new WeirError("PROOF_REFUSED", `Cannot sign note: ${problem}`);
  const keyId = Buffer.alloc(4);
  keyId.writeUInt32BE(signer.keyId);
  const signature = Buffer.concat([keyId, signer.sign(Buffer.from(text))]).toString("base64");
  return Buffer.from(`${text}\n${SIGNATURE_START}${signer.name} ${signature}\n`);
}

/**
 * Opens a note that came from anywhere: returns its text only if one of `verifiers` signed it. Throws PROOF_REFUSED when
 * the form is wrong, when no given key signed, and also when a given key's signature is there but wrong.
 */
export function openNote(note: Uint8Array, verifiers: Iterable<NoteVerifier>): OpenedNote {
  // Hostile input: size first, then encoding, then form, then signatures.
  if (note.length > NOTE_LIMIT) throw refuse(`it has ${note.length} bytes, more than ${NOTE_LIMIT}`);
  const whole = decode(note);
  const split = whole.lastIndexOf("\n\n");
  if (split < 0) throw refuse("it has no blank line before its signatures");
  const text = whole.slice(0, split + 1);
  const problem = findTextProblem(text);
  if (problem) throw refuse(problem);
  const lines = whole.slice(split + 2).split("\n");
  if (lines.pop() !== "" || lines.length === 0) throw refuse("its last signature line does not end with a newline");
  if (lines.length > SIGNATURE_LIMIT) throw refuse(`it has ${lines.length} signatures, more than ${SIGNATURE_LIMIT}`);
  const signatures = verifyLines(lines, Buffer.from(text), [...verifiers]);
  if (signatures.length === 0) throw refuse("no trusted key signed it");
  return { text, signatures };
}

function verifyLines(
  lines: readonly string[],
  message: Uint8Array,
  verifiers: readonly NoteVerifier[],
): NoteSignature[] {
  const verified: NoteSignature[] = [];
  for (const line of lines) {
    const { name, keyId, signature } = parseSignatureLine(line);
    // Name and id together name a key: a signature that shares only one of them with a known key is unknown.
    const candidates = verifiers.filter((verifier) => verifier.name === name && verifier.keyId === keyId);
    if (candidates.length === 0) continue;
    if (!candidates.some((verifier) => verifier.verify(message, signature))) {
      throw refuse(`the signature of "${name}" is wrong`);
    }
    if (!verified.some((known) => known.name === name && known.keyId === keyId)) verified.push({ name, keyId });
  }
  return verified;
}

function parseSignatureLine(line: string): { name: string; keyId: number; signature: Uint8Array } {
  const space = line.indexOf(" ", SIGNATURE_START.length);
  if (!line.startsWith(SIGNATURE_START) || space < 0) throw refuse("a signature line is malformed");
  const name = line.slice(SIGNATURE_START.length, space);
  const encoded = line.slice(space + 1);
  const bytes = Buffer.from(encoded, "base64");
  // Node skips what is not base64; only the exact text that encodes these bytes is accepted, so no byte can be changed unseen.
  if (!isKeyName(name) || bytes.toString("base64") !== encoded || bytes.length < 5) {
    throw refuse("a signature line is malformed");
  }
  return { name, keyId: bytes.readUInt32BE(0), signature: bytes.subarray(4) };
}

function findTextProblem(text: string): string | undefined {
  if (!text.endsWith("\n")) return "its text does not end with a newline";
  if (!text.isWellFormed()) return "its text is not Unicode";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the specification forbids exactly these.
  if (/[\u0000-\u0009\u000b-\u001f]/.test(text)) return "its text holds a control character";
  return undefined;
}

function decode(note: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(note);
  } catch {
    throw refuse("it is not UTF-8");
  }
}

function refuse(state: string): WeirError {
  return new WeirError("PROOF_REFUSED", `Cannot open note: ${state}`);
}
