import { createHash } from "node:crypto";
import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { CreateKeyRequest } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { type KeyGrant, KeyGrantSchema, KeyringGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";

/** The grant of a new key. Nothing of the key but its hash is in it. */
export function createGrant(
  request: CreateKeyRequest,
  key: { readonly keyId: string; readonly sha256: Uint8Array },
): KeyGrant {
  const { organisation, team, app, environment, models, requestsPerMinute, expiresAt } = request;
  return create(KeyGrantSchema, {
    keyId: key.keyId,
    secretSha256s: [key.sha256],
    organisation,
    team,
    app,
    environment,
    models: [...models].sort(),
    requestsPerMinute,
    ...(expiresAt && { expiresAt }),
  });
}

/** The grant of a revoked key: it stays, so that a refusal can name its reason, without anything that a secret could match. */
export function revokeGrant(grant: KeyGrant, at: Date): KeyGrant {
  const revoked = clone(KeyGrantSchema, grant);
  revoked.secretSha256s = [];
  revoked.revokedAt = timestampFromDate(at);
  return revoked;
}

/** A grant as the bytes that a keyring's digest is over. */
export function encodeGrant(grant: KeyGrant): Uint8Array {
  return toBinary(KeyringGrantSchema, create(KeyringGrantSchema, { entry: { case: "key", value: grant } }));
}

/** Reads a grant that {@link encodeGrant} wrote. Throws INTERNAL when the bytes are not a key's. */
export function decodeGrant(bytes: Uint8Array): KeyGrant {
  const { entry } = fromBinary(KeyringGrantSchema, bytes);
  if (entry.case !== "key") throw new WeirError("INTERNAL", "Cannot read grant: the entry is not a key's");
  return entry.value;
}

/** SHA-256 of an encoded grant: names its state in records. */
export function digestGrant(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

/** The etag of a key: changes with every change of its grant. */
export function createEtag(bytes: Uint8Array): string {
  return Buffer.from(digestGrant(bytes).subarray(0, 12)).toString("base64url");
}
