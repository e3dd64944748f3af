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
const CHECK_LENGTH = 6;
/** 36^6 is a little less than 2^32, so the check is the CRC's remainder: one wrong key in 2,176,782,336 passes it. */
const CHECK_RANGE = 36 ** CHECK_LENGTH;
// base64url may hold "_", so the fields at the end are told apart by their length and not by counting underscores.
const FORM = /^weir_([a-z0-9][a-z0-9-]{0,31})_([a-z2-7]{12})_[A-Za-z0-9_-]{43}_[0-9a-z]{6}$/;
const ENVIRONMENT = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** Makes a key for an environment from 256 random bits. Throws when the environment's id is malformed. */
export function createKey(environment: string): CreatedKey {
  if (!ENVIRONMENT.test(environment)) throw new RangeError("Cannot create key: the environment's id is malformed");
  const keyId = createKeyId();
  const body = `weir_${environment}_${keyId}_${randomBytes(SECRET_BYTES).toString("base64url")}`;
  const text = `${body}_${computeCheck(body)}`;
  return { keyId, text, sha256: hashKey(text) };
}

/**
 * Reads what a caller presents as a key. The text is hostile: its length is bounded, its form and check must fit exactly.
 * Returns nothing for any other text; what it returns is a claim until the hash is found in the keyring.
 */
export function parseKey(text: string): KeyText | undefined {
  if (text.length > TEXT_LIMIT) return undefined;
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const end = text.length - CHECK_LENGTH;
  if (text.slice(end) !== computeCheck(text.slice(0, end - 1))) return undefined;
  return { environment: match[1] as string, keyId: match[2] as string };
}

/** SHA-256 of a whole key text: what is kept of it. 32 bytes. A key has 256 random bits, so a slow hash would add nothing. */
export function hashKey(text: string): Uint8Array {
  return hash("sha256", text, "buffer");
}

/** CRC-32 (ISO 3309, as in zlib) of the text before the last underscore, as six digits of base 36. */
function computeCheck(body: string): string {
  return (crc32(body) % CHECK_RANGE).toString(36).padStart(CHECK_LENGTH, "0");
}
