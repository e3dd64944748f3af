import type { Access } from "../shared/authority/access.ts";
import type { Pool, PoolClient } from "../shared/database/pool.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { decodeGrant } from "./keys/grant.ts";
import { findKey, type StoredKey } from "./store/virtual-keys.ts";

/** Which key, who asks for it, and what can't be done without it, such as "rotate key". */
export interface WantedKey {
  readonly organisation: string;
  readonly keyId: string;
  readonly access: Pick<Access, "actor" | "allows">;
  readonly act: string;
}

/**
 * Gets a key that the operator may act on. Throws NOT_FOUND, in the same words for a key that is not there and for one of an environment
 * that the operator has no say over: who may not act on a key does not learn of it.
 */
export async function getKey(
  client: Pool | PoolClient,
  { organisation, keyId, access, act }: WantedKey,
): Promise<StoredKey> {
  const key = await findKey(client, organisation, keyId);
  if (key !== undefined && access.allows({ organisation, environment: decodeGrant(key.grant).environment })) return key;
  // Decided by the operator alone, not by the key.
  const where = access.allows({ organisation }) ? "" : ` in an environment that ${access.actor} may act on`;
  throw new WeirError("NOT_FOUND", `Cannot ${act}: organisation "${organisation}" has no key "${keyId}"${where}`, {
    facts: { organisation, key_id: keyId },
  });
}
