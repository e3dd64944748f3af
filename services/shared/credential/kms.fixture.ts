import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { WeirError } from "../errors/weir-error.ts";
import type { KeyUnwrapper, KeyWrapper, WrappedKey } from "./key-wrapper.ts";

/**
 * A key management service of a test: its key never leaves it, it answers later, it can be away, and it takes the context as the
 * associated data of its own encryption, as the real ones do.
 */
export class TestKms implements KeyWrapper, KeyUnwrapper {
  readonly keyId = "arn:test:key/eu";
  readonly #key = randomBytes(32);
  /** How many calls fail before one is answered. */
  failures = 0;
  /** How often it was asked. */
  calls = 0;

  async wrap(dataKey: Uint8Array, context: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    await this.#arrive(signal);
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce).setAAD(context);
    return Buffer.concat([nonce, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]);
  }

  async unwrap({ keyId, wrappedKey, context, signal }: WrappedKey): Promise<Uint8Array> {
    await this.#arrive(signal);
    if (keyId !== this.keyId) throw new WeirError("CREDENTIAL_REFUSED", `Cannot unwrap: there is no key "${keyId}"`);
    try {
      const decipher = createDecipheriv("aes-256-gcm", this.#key, wrappedKey.subarray(0, 12))
        .setAAD(context)
        .setAuthTag(wrappedKey.subarray(-16));
      return Buffer.concat([decipher.update(wrappedKey.subarray(12, -16)), decipher.final()]);
    } catch {
      throw new WeirError("CREDENTIAL_REFUSED", "Cannot unwrap: it was changed");
    }
  }

  async #arrive(signal: AbortSignal): Promise<void> {
    this.calls += 1;
    await setImmediate(undefined, { signal });
    if (this.failures === 0) return;
    this.failures -= 1;
    throw new WeirError("UNAVAILABLE", "Cannot unwrap: the service does not answer");
  }
}
