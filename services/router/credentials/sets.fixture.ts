import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CredentialSetSchema,
  type SealedCredential,
  SealedCredentialSchema,
} from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { sealCredential } from "../../shared/credential/envelope.ts";
import type { KeyUnwrapper, KeyWrapper } from "../../shared/credential/key-wrapper.ts";
import {
  generateRegionKey,
  parseRecipients,
  parseRegionKeys,
  type Recipient,
} from "../../shared/credential/region-key.ts";
import { createRegionKeyUnwrapper, createRegionKeyWrapper } from "../../shared/credential/region-key-wrapper.ts";
import { createSigner, type NoteSigner, parseVerifierKey, signNote } from "../../shared/note/note.ts";
import { snapshotDigest } from "../../shared/snapshot/digest.ts";
import { encodeHead, type SignedHead } from "../../shared/snapshot/head.ts";
import type { SealedSet } from "./hold.ts";

const key = generateRegionKey("eu");
const { signal } = new AbortController();

/** Signs sets as policy does. */
export const SIGNER = createSigner("weir.test/policy", new Uint8Array(32).fill(7));
/** Whom the router trusts. */
export const TRUST = [parseVerifierKey(SIGNER.verifierKey)];
/** Seals for the region eu. */
const WRAPPER: KeyWrapper = createRegionKeyWrapper(parseRecipients(key.recipient).get("eu") as Recipient);
/** Opens what was sealed for the region eu. */
export const UNWRAPPER: KeyUnwrapper = createRegionKeyUnwrapper(() => parseRegionKeys(key.privateKey, "eu"));

/** Seals a secret of the organisation acme for eu. */
export async function seal(
  name: string,
  version: bigint,
  secret: string,
  wrapper = WRAPPER,
): Promise<SealedCredential> {
  const subject = { organisation: "acme", name, region: "eu", version, origins: [] };
  const sealed = await sealCredential(Buffer.from(secret), subject, wrapper, signal);
  return fromBinary(SealedCredentialSchema, toBinary(SealedCredentialSchema, sealed));
}

/** A set of eu with its signed head; whatever of it is given is otherwise. */
export function signSet(
  version: bigint,
  credentials: readonly SealedCredential[],
  other: Partial<SignedHead> & { readonly signer?: NoteSigner } = {},
): SealedSet {
  const { signer = SIGNER, ...head } = other;
  const set = create(CredentialSetSchema, { region: head.region ?? "eu", version, credentials: [...credentials] });
  const content = toBinary(CredentialSetSchema, set);
  const text = encodeHead({
    kind: "credentials",
    region: "eu",
    version,
    digest: snapshotDigest(content),
    features: [],
    issuedAt: new Date(0),
    ...head,
  });
  return { content, note: signNote(text, signer) };
}
