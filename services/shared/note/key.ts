/**
 * Keys of the C2SP signed note (c2sp.org/signed-note v1.0.0) in the text encodings of Go's `golang.org/x/mod/sumdb/note`,
 * so that a key made here works in every tool of that family and the other way round. Ed25519 only (signature type 1):
 * the specification asks an implementation to support no more types than its design needs.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { WeirError } from "../errors/weir-error.ts";

const ED25519_TYPE = 0x01;
const KEY_BYTES = 32;
/** DER that precedes the 32 raw bytes of an Ed25519 key (RFC 8410, sections 4 and 7). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const SIGNER_PREFIX = "PRIVATE+KEY+";
/** Longest key text that is looked at; an Ed25519 key with a long name stays far below. */
const KEY_TEXT_LIMIT = 1024;

/** The public half of a note key: what a reader trusts. Made by `parseVerifierKey`. */
export interface NoteVerifier {
  /** Key name, for our logs and heads a schema-less URL such as `weir.local/audit/eu`. */
  readonly name: string;
  /** First four bytes of SHA-256(name, newline, type, key), big-endian: an identifier, not a proof. */
  readonly keyId: number;
  /** The text form `name+hash+base64`. */
  readonly encoded: string;
  /** Whether `signature` (64 bytes) is this key's signature of `message`. Never throws. */
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** The private half of a note key. Made by `createSigner` or `parseSignerKey`; it never shows its secret. */
export interface NoteSigner {
  /** Key name, written on each signature line. */
  readonly name: string;
  /** As in `NoteVerifier`. */
  readonly keyId: number;
  /** Text form of the matching public key, to be put into a trust file. */
  readonly verifierKey: string;
  /** The 64 bytes of the Ed25519 signature of `message`. */
  sign(message: Uint8Array): Uint8Array;
}

/** Both halves of a new key as text: the signer key is a secret and belongs into a file of mode 0600. */
export interface NoteKeyPair {
  readonly signerKey: string;
  readonly verifierKey: string;
}

/** Whether `name` may name a key: not empty, no Unicode space, no plus sign, no control character (C2SP signed-note). */
export function isKeyName(name: string): boolean {
  // The control characters hold U+0085, a Unicode space that JavaScript's \s leaves out.
  return name !== "" && name.isWellFormed() && !/[\s\p{Cc}+]/u.test(name);
}

/** Makes a signer from a key name and the 32 bytes of an Ed25519 seed (RFC 8032). Throws SETTING_INVALID for anything else. */
export function createSigner(name: string, privateKey: Uint8Array): NoteSigner {
  if (!isKeyName(name)) throw refuse("signer key", "its name is empty or holds a space or a plus sign");
  if (privateKey.length !== KEY_BYTES)
    throw refuse("signer key", `the key has ${privateKey.length} bytes, needs ${KEY_BYTES}`);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, privateKey]), format: "der", type: "pkcs8" });
  const publicBytes = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(SPKI_PREFIX.length);
  const keyId = computeKeyId(name, publicBytes);
  return {
    name,
    keyId,
    verifierKey: `${name}+${formatKeyId(keyId)}+${encodeTyped(publicBytes)}`,
    sign: (message) => sign(null, message, key),
  };
}

/** Reads the secret text form `PRIVATE+KEY+name+hash+base64`, as kept in a signing key file; white space around it is ignored. */
export function parseSignerKey(text: string): NoteSigner {
  const trimmed = text.trim();
  if (!trimmed.startsWith(SIGNER_PREFIX)) throw refuse("signer key", `it does not start with ${SIGNER_PREFIX}`);
  const { name, keyId, bytes } = parseKeyText("signer key", trimmed.slice(SIGNER_PREFIX.length));
  const signer = createSigner(name, bytes);
  if (signer.keyId !== keyId) throw refuse("signer key", "its hash does not match its name and key");
  return signer;
}

/** Reads the public text form `name+hash+base64`, as listed in a trust file. Throws SETTING_INVALID when it is malformed. */
export function parseVerifierKey(text: string): NoteVerifier {
  const { name, keyId, bytes } = parseKeyText("verifier key", text.trim());
  if (computeKeyId(name, bytes) !== keyId) throw refuse("verifier key", "its hash does not match its name and key");
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, bytes]), format: "der", type: "spki" });
  return {
    name,
    keyId,
    encoded: `${name}+${formatKeyId(keyId)}+${encodeTyped(bytes)}`,
    verify: (message, signature) => verifySignature(key, message, signature),
  };
}

/** Makes a new random key under `name`. Used by `weir keygen` and `weir up` only: no service makes its own trust. */
export function generateNoteKey(name: string): NoteKeyPair {
  const seed = randomBytes(KEY_BYTES);
  const signer = createSigner(name, seed);
  return {
    signerKey: `${SIGNER_PREFIX}${name}+${formatKeyId(signer.keyId)}+${encodeTyped(seed)}`,
    verifierKey: signer.verifierKey,
  };
}

function verifySignature(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(null, message, key, signature);
  } catch {
    // OpenSSL throws for a signature of the wrong length; to a verifier that is just a wrong signature.
    return false;
  }
}

function parseKeyText(what: string, text: string): { name: string; keyId: number; bytes: Uint8Array } {
  // The text comes from a file somebody edited; nothing of it is repeated in the error, it may be a secret.
  if (text.length > KEY_TEXT_LIMIT) throw refuse(what, `it is longer than ${KEY_TEXT_LIMIT} characters`);
  const first = text.indexOf("+");
  const second = text.indexOf("+", first + 1);
  if (first < 0 || second < 0) throw refuse(what, "it is not of the form name+hash+base64");
  const name = text.slice(0, first);
  const hash = text.slice(first + 1, second);
  // Base64 may hold plus signs of its own, so everything after the second one belongs to the key.
  const typed = Buffer.from(text.slice(second + 1), "base64");
  if (!isKeyName(name)) throw refuse(what, "its name is empty or holds a space");
  if (!/^[0-9a-f]{8}$/.test(hash)) throw refuse(what, "its hash is not eight lower-case hexadecimal digits");
  if (typed.toString("base64") !== text.slice(second + 1)) throw refuse(what, "its last part is not base64");
  if (typed[0] !== ED25519_TYPE) throw refuse(what, "its type is not Ed25519");
  if (typed.length !== KEY_BYTES + 1) throw refuse(what, `the key has ${typed.length - 1} bytes, needs ${KEY_BYTES}`);
  return { name, keyId: Number.parseInt(hash, 16), bytes: typed.subarray(1) };
}

function computeKeyId(name: string, publicKey: Uint8Array): number {
  return createHash("sha256")
    .update(name)
    .update(Buffer.of(0x0a, ED25519_TYPE))
    .update(publicKey)
    .digest()
    .readUInt32BE(0);
}

function formatKeyId(keyId: number): string {
  return keyId.toString(16).padStart(8, "0");
}

function encodeTyped(bytes: Uint8Array): string {
  return Buffer.concat([Buffer.of(ED25519_TYPE), bytes]).toString("base64");
}

function refuse(what: string, state: string): WeirError {
  return new WeirError("SETTING_INVALID", `Cannot read ${what}: ${state}`);
}
