import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CredentialSetSchema,
  type SealedCredential,
  SealedCredentialSchema,
} from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import type { PoolClient } from "../../shared/database/pool.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { NoteSigner } from "../../shared/note/note.ts";
import { snapshotDigest } from "../../shared/snapshot/digest.ts";
import { isSignedBy, signHead } from "../keys/sign-head.ts";
import { findCredentialSet, listSetVersions, storeCredentialSet } from "../store/credential-sets.ts";
import { listRegionEnvelopes } from "../store/credentials.ts";

/** Most credentials of a region: its set travels in one message. */
const CREDENTIALS_LIMIT = 256;

/** A set that was stored. */
export interface MintedCredentialSet {
  readonly region: string;
  readonly version: bigint;
  readonly digest: Uint8Array;
}

/**
 * Stores the next version of a region's set, made of the envelopes that are stored now, with a signed head. Call it inside a change, whose
 * lock makes versions rise one by one. Throws ARGUMENT_INVALID when there are too many.
 */
export async function mintCredentialSet(
  client: PoolClient,
  region: string,
  { signer, at }: { readonly signer: NoteSigner; readonly at: Date },
): Promise<MintedCredentialSet> {
  const version = await nextSetVersion(client, region);
  const credentials: SealedCredential[] = (await listRegionEnvelopes(client, region)).map(({ sealed }) =>
    fromBinary(SealedCredentialSchema, sealed),
  );
  if (credentials.length > CREDENTIALS_LIMIT) {
    throw new WeirError(
      "ARGUMENT_INVALID",
      `Cannot set credential: region "${region}" has ${CREDENTIALS_LIMIT}, the most that it may have`,
      { facts: { region } },
    );
  }
  const content = toBinary(CredentialSetSchema, create(CredentialSetSchema, { region, version, credentials }));
  const digest = snapshotDigest(content);
  const head = signHead({ kind: "credentials", region, version, digest, features: [], issuedAt: at }, signer);
  await storeCredentialSet(client, { region, version, content, digest, head });
  return { region, version, digest };
}

/** The version that the next set of a region will have. */
export async function nextSetVersion(client: PoolClient, region: string): Promise<bigint> {
  return ((await findCredentialSet(client, region))?.version ?? 0n) + 1n;
}

/** Signs anew, as a next version, every set that another key signed, so that the signing key can be rotated. */
export async function renewCredentialSets(
  client: PoolClient,
  options: { readonly signer: NoteSigner; readonly at: Date },
): Promise<void> {
  for (const { region } of await listSetVersions(client)) {
    const set = await findCredentialSet(client, region);
    if (set !== undefined && !isSignedBy(set.head, options.signer)) await mintCredentialSet(client, region, options);
  }
}
