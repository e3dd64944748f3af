import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type SealedCredential, SealedCredentialSchema } from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { KeyUnwrapper, KeyWrapper } from "./key-wrapper.ts";

/** As what a secret is sealed. An envelope opens as nothing else. */
export type CredentialSubject = Pick<SealedCredential, "organisation" | "name" | "region" | "version" | "origins">;

const DATA_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Largest secret, in bytes. */
const SECRET_LIMIT = 8192;
const CONTEXT = "weir/credential/v1";

/**
 * Seals a secret for one region: encrypts it under a fresh data key, and wraps that for the region's key. Every sealing differs.
 * The secret stays the caller's, to be zeroed. Throws ARGUMENT_INVALID for an empty or too large one, else what the wrapper throws.
 */
export async function sealCredential(
  secret: Uint8Array,
  subject: CredentialSubject,
  wrapper: KeyWrapper,
  signal: AbortSignal,
): Promise<SealedCredential> {
  if (secret.length === 0 || secret.length > SECRET_LIMIT) {
    throw new WeirError(
      "ARGUMENT_INVALID",
      `Cannot seal credential "${subject.name}": it has ${secret.length} bytes, must have 1 to ${SECRET_LIMIT}`,
    );
  }
  const { organisation, name, region, version, origins } = subject;
  const context = encodeContext(subject, wrapper.keyId);
  const dataKey = randomBytes(DATA_KEY_BYTES);
  try {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", dataKey, nonce).setAAD(context);
    const ciphertext = Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
    const wrappedKey = await wrapper.wrap(dataKey, context, signal);
    return create(SealedCredentialSchema, {
      organisation,
      name,
      region,
      version,
      origins: [...origins],
      keyId: wrapper.keyId,
      wrappedKey,
      nonce,
      ciphertext,
    });
  } finally {
    dataKey.fill(0);
  }
}

/**
 * Opens an envelope that may have come from anywhere. Returns the secret, for the caller to zero. Throws CREDENTIAL_REFUSED when it is
 * not whole, not for a key that is here, or not what it says it is, and UNAVAILABLE when the key can't be reached now.
 */
export async function openCredential(
  sealed: SealedCredential,
  unwrapper: KeyUnwrapper,
  signal: AbortSignal,
): Promise<Buffer> {
  const { nonce, ciphertext, keyId, wrappedKey } = sealed;
  if (nonce.length !== NONCE_BYTES || ciphertext.length <= TAG_BYTES) throw refuse(sealed, "its envelope is not whole");
  if (ciphertext.length > SECRET_LIMIT + TAG_BYTES) throw refuse(sealed, "it is too large");
  const context = encodeContext(sealed, keyId);
  const dataKey = await unwrapper.unwrap({ keyId, wrappedKey, context, signal });
  const parts: Buffer[] = [];
  try {
    if (dataKey.length !== DATA_KEY_BYTES) throw refuse(sealed, "its data key is of another size");
    const end = ciphertext.length - TAG_BYTES;
    const decipher = createDecipheriv("aes-256-gcm", dataKey, nonce, { authTagLength: TAG_BYTES })
      .setAAD(context)
      .setAuthTag(ciphertext.subarray(end));
    parts.push(decipher.update(ciphertext.subarray(0, end)));
    parts.push(decipher.final());
    return Buffer.concat(parts);
  } catch (error) {
    if (error instanceof WeirError) throw error;
    throw refuse(sealed, "it was changed, or sealed as something else");
  } finally {
    dataKey.fill(0);
    for (const part of parts) part.fill(0);
  }
}

/** The associated data, as weir.policy.v1.CredentialService has it: lengths before each text, so that no two subjects give the same. */
function encodeContext({ organisation, name, region, version, origins }: CredentialSubject, keyId: string): Buffer {
  const texts = [CONTEXT, organisation, name, region, String(version), keyId, ...origins];
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}

function refuse({ name, version }: CredentialSubject, state: string): WeirError {
  return new WeirError("CREDENTIAL_REFUSED", `Cannot open credential "${name}" version ${version}: ${state}`, {
    facts: { credential: name, version: String(version) },
  });
}
