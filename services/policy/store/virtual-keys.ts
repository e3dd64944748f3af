import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** What is known of a key, with its grant. */
export interface StoredKey {
  readonly keyId: string;
  /** Order of creation. */
  readonly position: bigint;
  readonly organisation: string;
  readonly displayName: string;
  readonly createdAt: Date;
  readonly requestDigest: Uint8Array;
  /** Version of the keyring that first refused it; absent for a living key. */
  readonly revokedVersion: bigint | undefined;
  /** The encoded KeyringGrant. */
  readonly grant: Uint8Array;
}

/** What is needed to store a key beside its grant. */
export type NewKey = Pick<StoredKey, "keyId" | "organisation" | "displayName" | "createdAt" | "requestDigest"> & {
  readonly requestId: string;
};

type Row = {
  key_id: string;
  position: bigint;
  organisation: string;
  display_name: string;
  created_at: Date;
  request_digest: Buffer;
  revoked_version: bigint | null;
  grant_bytes: Buffer;
};

const SELECT = `select k.key_id, k.position, k.organisation, k.display_name, k.created_at, k.request_digest, k.revoked_version,
  e.grant_bytes from virtual_key k join keyring_entry e on e.id = k.key_id`;

/** Stores a key. Its grant is stored by the keyring that honours it. */
export async function insertKey(client: PoolClient, key: NewKey): Promise<void> {
  await query(
    client,
    `insert into virtual_key (key_id, organisation, display_name, request_id, request_digest, created_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [key.keyId, key.organisation, key.displayName, key.requestId, Buffer.from(key.requestDigest), key.createdAt],
  );
}

/** One key of an organisation. */
export async function findKey(
  client: Pool | PoolClient,
  organisation: string,
  keyId: string,
): Promise<StoredKey | undefined> {
  const rows = await query<Row>(client, `${SELECT} where k.organisation = $1 and k.key_id = $2`, [organisation, keyId]);
  return rows.map(toKey)[0];
}

/** The key that a request made, when it made one. */
export async function findKeyByRequest(client: PoolClient, requestId: string): Promise<StoredKey | undefined> {
  const rows = await query<Row>(client, `${SELECT} where k.request_id = $1`, [requestId]);
  return rows.map(toKey)[0];
}

/** At most `limit` keys of an organisation made before `before` (absent: from the newest), newest first. */
export async function listKeys(
  pool: Pool,
  organisation: string,
  { before, limit }: { readonly before: bigint | undefined; readonly limit: number },
): Promise<StoredKey[]> {
  const rows = await query<Row>(
    pool,
    `${SELECT} where k.organisation = $1 and ($2::bigint is null or k.position < $2) order by k.position desc limit $3`,
    [organisation, before ?? null, limit],
  );
  return rows.map(toKey);
}

/** Notes the version of the keyring that first refused a key. */
export async function markRevoked(client: PoolClient, keyId: string, version: bigint): Promise<void> {
  await query(client, "update virtual_key set revoked_version = $2 where key_id = $1", [keyId, version]);
}

function toKey(row: Row): StoredKey {
  return {
    keyId: row.key_id,
    position: row.position,
    organisation: row.organisation,
    displayName: row.display_name,
    createdAt: row.created_at,
    requestDigest: row.request_digest,
    revokedVersion: row.revoked_version ?? undefined,
    grant: row.grant_bytes,
  };
}
