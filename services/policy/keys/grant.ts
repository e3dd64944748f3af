import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type DisabledTenant,
  DisabledTenantSchema,
  type KeyGrant,
  type KeyringGrant,
  KeyringGrantSchema,
} from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";

/** A grant as the bytes that a keyring's digest is over. */
export function encodeGrant(grant: KeyGrant): Uint8Array {
  return encodeEntry({ case: "key", value: grant });
}

/** Reads a grant that {@link encodeGrant} wrote. Throws INTERNAL when the bytes are not a key's. */
export function decodeGrant(bytes: Uint8Array): KeyGrant {
  const { entry } = fromBinary(KeyringGrantSchema, bytes);
  if (entry.case !== "key") throw new WeirError("INTERNAL", "Cannot read grant: the entry is not a key's");
  return entry.value;
}

/** The entry that disables a tenant, encoded. */
export function encodeDisabledTenant(tenant: Omit<DisabledTenant, "$typeName" | "$unknown">): Uint8Array {
  return encodeEntry({ case: "disabledTenant", value: create(DisabledTenantSchema, tenant) });
}

/** Reads what {@link encodeDisabledTenant} wrote. Throws INTERNAL when the bytes are not a tenant's. */
export function decodeDisabledTenant(bytes: Uint8Array): DisabledTenant {
  const { entry } = fromBinary(KeyringGrantSchema, bytes);
  if (entry.case !== "disabledTenant") {
    throw new WeirError("INTERNAL", "Cannot read disabled tenant: the entry is not a tenant's");
  }
  return entry.value;
}

/** SHA-256 of an encoded grant: names its state in records. */
export function digestGrant(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

/** The etag of a key: changes with every change of its grant and its name. */
export function createEtag(bytes: Uint8Array, displayName: string): string {
  return createHash("sha256").update(digestGrant(bytes)).update(displayName).digest().toString("base64url", 0, 12);
}

function encodeEntry(entry: KeyringGrant["entry"]): Uint8Array {
  return toBinary(KeyringGrantSchema, create(KeyringGrantSchema, { entry }));
}
