/**
 * Where the key of a region is. Two implementations stand for all: the region key in a file or a variable (`region-key-wrapper.ts`), and
 * a key management service, which is the place to add one: its key id is the name of its key, `wrap` is its encryption and `unwrap` its
 * decryption, and the context goes along as their associated data ("encryption context" of AWS KMS, `additionalAuthenticatedData`
 * of Google Cloud KMS, `associated_data` of Vault's transit engine). Only the routers of the region get the right to decrypt.
 */

/** Wraps data keys for one region. */
export interface KeyWrapper {
  /** Id of the key that wraps: goes into the envelope, so that its other half can be found. */
  readonly keyId: string;
  /** Wraps 32 bytes, bound to a context. Throws UNAVAILABLE when the key can't be reached. */
  wrap(dataKey: Uint8Array, context: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** A data key as it came in an envelope; none of it is trusted. */
export interface WrappedKey {
  readonly keyId: string;
  readonly wrappedKey: Uint8Array;
  readonly context: Uint8Array;
  readonly signal: AbortSignal;
}

/** Unwraps data keys of one region. */
export interface KeyUnwrapper {
  /**
   * The data key, for the caller to zero. Throws CREDENTIAL_REFUSED when it was wrapped by another key or for another context, UNAVAILABLE
   * when the key can't be reached now: then it is worth another try.
   */
  unwrap(wrapped: WrappedKey): Promise<Uint8Array>;
}
