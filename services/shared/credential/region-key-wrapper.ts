import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { WeirError } from "../errors/weir-error.ts";
import type { KeyUnwrapper, KeyWrapper, WrappedKey } from "./key-wrapper.ts";
import type { Recipient, RegionKey } from "./region-key.ts";

/** HPKE (RFC 9180) in base mode: suite 0x0020, 0x0001, 0x0002. */
const SUITE = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});
const INFO = Buffer.from("weir/credential/v1");
/** Of an X25519 key. */
const ENCAPSULATED_BYTES = 32;

/** Wraps data keys with the public key of a region. Never needs anyone. */
export function createRegionKeyWrapper({ keyId, publicKey }: Recipient): KeyWrapper {
  return {
    keyId,
    async wrap(dataKey, context) {
      const recipientPublicKey = await SUITE.kem.deserializePublicKey(publicKey);
      const { enc, ct } = await SUITE.seal({ recipientPublicKey, info: INFO }, dataKey, context);
      return Buffer.concat([Buffer.from(enc), Buffer.from(ct)]);
    },
  };
}

/**
 * Unwraps data keys with the private keys of a region. `readKeys` is asked when a key id is unknown, so that a key that was added to the
 * file is found without a restart; what it throws is thrown as UNAVAILABLE.
 */
export function createRegionKeyUnwrapper(readKeys: () => readonly RegionKey[]): KeyUnwrapper {
  let keys: readonly RegionKey[] = [];
  const find = (keyId: string) => keys.find((key) => key.keyId === keyId);
  return {
    async unwrap({ keyId, wrappedKey, context }: WrappedKey) {
      if (find(keyId) === undefined) keys = readOrFail(readKeys);
      const key = find(keyId);
      if (key === undefined) throw refuse(keyId, "this router has no such key");
      try {
        const recipientKey = await SUITE.kem.deserializePrivateKey(key.privateKey);
        const enc = wrappedKey.subarray(0, ENCAPSULATED_BYTES);
        const sealed = wrappedKey.subarray(ENCAPSULATED_BYTES);
        return Buffer.from(await SUITE.open({ recipientKey, enc, info: INFO }, sealed, context));
      } catch {
        // Whatever the library says of hostile bytes, it is the same to us.
        throw refuse(keyId, "it was changed, or wrapped for something else");
      }
    },
  };
}

function readOrFail(readKeys: () => readonly RegionKey[]): readonly RegionKey[] {
  try {
    return readKeys();
  } catch (cause) {
    throw new WeirError("UNAVAILABLE", "Cannot open credential: the region's keys can't be read", { cause });
  }
}

function refuse(keyId: string, state: string): WeirError {
  return new WeirError("CREDENTIAL_REFUSED", `Cannot unwrap data key with key "${keyId}": ${state}`, {
    facts: { key_id: keyId },
  });
}
