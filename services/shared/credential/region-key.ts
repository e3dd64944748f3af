import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { WeirError } from "../errors/weir-error.ts";

/**
 * Keys of regions, X25519 (RFC 7748), as text: `REGION+PRIVATE+KEY+<region>+<key id>+<base64>` for the routers of the region alone,
 * `REGION+PUBLIC+KEY+…` for whoever seals. The key id is the first 16 hexadecimal digits of SHA-256(region, newline, public key).
 */
const PRIVATE_PREFIX = "REGION+PRIVATE+KEY+";
const PUBLIC_PREFIX = "REGION+PUBLIC+KEY+";
const KEY_BYTES = 32;
/** DER that precedes the 32 raw bytes of a private X25519 key (RFC 8410, section 7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");
const REST = /^([a-z0-9][a-z0-9-]{0,31})\+([0-9a-f]{16})\+([A-Za-z0-9+/]{43}=)$/;
/** A region in rotation has two; more than these is a mistake. */
const KEYS_PER_REGION = 8;
const RECIPIENTS_LIMIT = 512;

/** The private half of a region's key: opens what was sealed for the region. Never to be logged. */
export interface RegionKey {
  readonly region: string;
  readonly keyId: string;
  /** 32 bytes. */
  readonly privateKey: Uint8Array;
}

/** The public half of a region's key: whoever has it can seal, and not open. */
export interface Recipient {
  readonly region: string;
  readonly keyId: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** Makes a new random key of a region; both halves as text. For `weir keygen`: no service makes its own. */
export function generateRegionKey(region: string): { readonly privateKey: string; readonly recipient: string } {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const raw = toRaw(privateKey, "d");
  const publicRaw = toRaw(publicKey, "x");
  const keyId = computeKeyId(region, publicRaw);
  return {
    privateKey: `${PRIVATE_PREFIX}${region}+${keyId}+${raw.toString("base64")}`,
    recipient: `${PUBLIC_PREFIX}${region}+${keyId}+${publicRaw.toString("base64")}`,
  };
}

/**
 * Reads the private keys of one region, one a line; several while the key is rotated, and each of them opens. Blank lines and lines that
 * start with `#` are skipped. Throws SETTING_INVALID, which repeats nothing of the text, also for no key at all and for a key of
 * another region.
 */
export function parseRegionKeys(text: string, region: string): RegionKey[] {
  const keys = readLines(text, "region key", (line) => {
    const { region: of, keyId, bytes } = parseLine(line, PRIVATE_PREFIX);
    if (of !== region) throw new Error(`it is a key of region "${of}", must be of "${region}"`);
    if (computeKeyId(of, toRaw(createPublicKey(toPrivateKey(bytes)), "x")) !== keyId) {
      throw new Error("its key id does not match its key");
    }
    return { region: of, keyId, privateKey: bytes };
  });
  if (keys.length > KEYS_PER_REGION) throw refuse("region key", `there are more than ${KEYS_PER_REGION}`);
  return keys;
}

/**
 * Reads the public keys of regions, one a line, as `weir keygen` writes them. The last one of a region is the one to seal for. Throws
 * SETTING_INVALID.
 */
export function parseRecipients(text: string): ReadonlyMap<string, Recipient> {
  const recipients = readLines(text, "recipients", (line) => {
    const { region, keyId, bytes } = parseLine(line, PUBLIC_PREFIX);
    if (computeKeyId(region, bytes) !== keyId) throw new Error("its key id does not match its key");
    return { region, keyId, publicKey: bytes };
  });
  if (recipients.length > RECIPIENTS_LIMIT) throw refuse("recipients", `there are more than ${RECIPIENTS_LIMIT}`);
  return new Map(recipients.map((recipient) => [recipient.region, recipient]));
}

/** The public halves of a region's private keys as text, in their order. Throws as {@link parseRegionKeys} does. */
export function toRecipients(privateKeys: string, region: string): string[] {
  return parseRegionKeys(privateKeys, region).map(({ keyId, privateKey }) => {
    const publicKey = toRaw(createPublicKey(toPrivateKey(privateKey)), "x");
    return `${PUBLIC_PREFIX}${region}+${keyId}+${publicKey.toString("base64")}`;
  });
}

function readLines<Key>(text: string, what: string, parse: (line: string) => Key): Key[] {
  const keys: Key[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    try {
      keys.push(parse(line));
    } catch (error) {
      // What a library says could quote the key; ours does not.
      const state = error instanceof Error && !("code" in error) ? error.message : "it is no key";
      throw refuse(what, `line ${index + 1}: ${state}`);
    }
  }
  if (keys.length === 0) throw refuse(what, "it holds no key");
  return keys;
}

function parseLine(line: string, prefix: string): { region: string; keyId: string; bytes: Buffer } {
  const match = line.startsWith(prefix) ? REST.exec(line.slice(prefix.length)) : null;
  if (match === null) throw new Error(`it is not of the form ${prefix}<region>+<key id>+<base64>`);
  const [, region, keyId, base64] = match as unknown as [string, string, string, string];
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length !== KEY_BYTES || bytes.toString("base64") !== base64) throw new Error("its last part is not base64");
  return { region, keyId, bytes };
}

function computeKeyId(region: string, publicKey: Uint8Array): string {
  return createHash("sha256").update(`${region}\n`).update(publicKey).digest("hex").slice(0, 16);
}

function toPrivateKey(raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, raw]), format: "der", type: "pkcs8" });
}

function toRaw(key: KeyObject, part: "d" | "x"): Buffer {
  return Buffer.from(key.export({ format: "jwk" })[part] as string, "base64url");
}

function refuse(what: string, state: string): WeirError {
  return new WeirError("SETTING_INVALID", `Cannot read ${what}: ${state}`);
}
