/**
 * The text of a virtual key: `weir_<environment>_<id>_<secret>_<check>`. Its shape lets scanners find a leaked key, and its
 * check lets a router refuse a mistyped one without a look at the keyring.
 */
import { hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import { createKeyId } from "../ids.ts";

/** What the text of a key shows without a look at the keyring. Nothing of it is proven yet. */
export interface KeyText {
  /** Id of the environment that the key was made for. */
  readonly environment: string;
  /** Id of the key: 12 characters of a-z and 2-7. */
  readonly keyId: string;
}

/** A new key: its text is seen once, its id and hash are kept. */
export interface CreatedKey {
  /** Id of the key: 12 characters of a-z and 2-7. */
  readonly keyId: string;
  /** The whole key, a secret. */
  readonly text: string;
  /** SHA-256 of the text: what a keyring holds. 32 bytes. */
  readonly sha256: Uint8Array;
}

/** Longest text that is looked at: a key with the longest environment has 101 characters. */
const TEXT_LIMIT = 128;
const SECRET_BYTES = 32;
const ID_LENGTH = 12;
const SECRET_LENGTH = 43;
const CHECK_LENGTH = 6;
/** Where the secret and the id begin, counted from the end of the text. */
const SECRET_FROM_END = SECRET_LENGTH + 1 + CHECK_LENGTH;
const ID_FROM_END = ID_LENGTH + 1 + SECRET_FROM_END;
/** 36^6 is a little less than 2^32, so the check is the CRC's remainder: one wrong key in 2,176,782,336 passes it. */
const CHECK_RANGE = 36 ** CHECK_LENGTH;
// base64url may hold "_", so the fields at the end are told apart by their length and not by counting underscores.
const FORM = /^weir_[a-z0-9][a-z0-9-]{0,31}_[a-z2-7]{12}_[A-Za-z0-9_-]{43}_[0-9a-z]{6}$/;
const KEY_ID = /^[a-z2-7]{12}$/;
const ENVIRONMENT = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** Makes a key for an environment from 256 random bits. Throws when the environment's id is malformed. */
export function createKey(environment: string): CreatedKey {
  return createSecret(environment, createKeyId());
}

/** Makes another text for a key that has an id already, when it gets a new secret. Throws when an id is malformed. */
export function createSecret(environment: string, keyId: string): CreatedKey {
  if (!ENVIRONMENT.test(environment)) throw new RangeError("Cannot create key: the environment's id is malformed");
  if (!KEY_ID.test(keyId)) throw new RangeError("Cannot create key: its id is malformed");
  const body = `weir_${environment}_${keyId}_${randomBytes(SECRET_BYTES).toString("base64url")}`;
  const text = `${body}_${computeCheck(body)}`;
  return { keyId, text, sha256: hashKey(text) };
}

/**
 * Reads what a caller presents as a key. The text is hostile: its length is bounded, its form and check must fit exactly.
 * Returns nothing for any other text; what it returns is a claim until the hash is found in the keyring.
 */
export function parseKey(text: string): KeyText | undefined {
  if (text.length > TEXT_LIMIT || !FORM.test(text)) return undefined;
  const checkAt = text.length - CHECK_LENGTH;
  // As numbers: the form leaves each number one way to be written.
  if (Number.parseInt(text.slice(checkAt), 36) !== computeCheckNumber(text.slice(0, checkAt - 1))) return undefined;
  const idAt = text.length - ID_FROM_END;
  return { environment: text.slice("weir_".length, idAt - 1), keyId: text.slice(idAt, idAt + ID_LENGTH) };
}

/** SHA-256 of a whole key text: what is kept of it. 32 bytes. A key has 256 random bits, so a slow hash would add nothing. */
export function hashKey(text: string): Uint8Array {
  // By way of hex, since Node makes a Buffer of its own for "buffer", which takes longer than the hash: 0.5 for 0.8 µs.
  return Buffer.from(hash("sha256", text, "hex"), "hex");
}

/** CRC-32 (ISO 3309, as in zlib) of the text before the last underscore, as six digits of base 36. */
function computeCheck(body: string): string {
  return computeCheckNumber(body).toString(36).padStart(CHECK_LENGTH, "0");
}

function computeCheckNumber(body: string): number {
  return crc32(body) % CHECK_RANGE;
}
