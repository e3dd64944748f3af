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
  /** When it last got a new secret; absent when it has its first. */
  readonly rotatedAt: Date | undefined;
  /** The encoded KeyringGrant. */
  readonly grant: Uint8Array;
  /** Version of the keyring that changed the grant last. */
  readonly grantVersion: bigint;
}

/** What keys are looked for by, as their grants have it. */
export interface KeyIndex {
  readonly keyId: string;
  readonly team: string;
  readonly app: string;
  readonly environment: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly expiresAt: Date | undefined;
  readonly disabledAt: Date | undefined;
}

/** What is needed to store a key beside its grant. */
export type NewKey = Pick<StoredKey, "organisation" | "displayName" | "createdAt" | "requestDigest"> &
  KeyIndex & {
    readonly requestId: string;
    /** Who asked for it, as records name them. */
    readonly requestedBy: string;
  };

/** What a change writes of a key beside its grant. */
export type ChangedKey = Pick<StoredKey, "displayName" | "rotatedAt"> &
  KeyIndex & {
    /** Version of the keyring that first refuses it for ever; absent for a living key. */
    readonly revokedVersion: bigint | undefined;
  };

/** A row of `virtual_key` with its grant, as {@link KEY_COLUMNS} asks for it. */
export type KeyRow = {
  key_id: string;
  position: bigint;
  organisation: string;
  display_name: string;
  created_at: Date;
  request_digest: Buffer;
  rotated_at: Date | null;
  grant_bytes: Buffer;
  grant_version: bigint;
};

/** What is asked of a key `k` and its entry `e`. */
export const KEY_COLUMNS = `k.key_id, k.position, k.organisation, k.display_name, k.created_at, k.request_digest, k.rotated_at,
  e.grant_bytes, e.version as grant_version`;

const SELECT = `select ${KEY_COLUMNS} from virtual_key k join keyring_entry e on e.id = k.key_id`;

/** Stores keys of one moment. Their grants are stored by the keyring that honours them. */
export async function insertKeys(client: PoolClient, keys: readonly NewKey[]): Promise<void> {
  await query(
    client,
    `insert into virtual_key (key_id, organisation, display_name, request_id, request_digest, created_at, team, app, environment,
       labels, expires_at, requested_by)
     select * from unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::timestamptz[], $7::text[], $8::text[],
       $9::text[], $10::jsonb[], $11::timestamptz[], $12::text[])`,
    [
      keys.map(({ keyId }) => keyId),
      keys.map(({ organisation }) => organisation),
      keys.map(({ displayName }) => displayName),
      keys.map(({ requestId }) => requestId),
      keys.map(({ requestDigest }) => Buffer.from(requestDigest)),
      keys.map(({ createdAt }) => createdAt),
      keys.map(({ team }) => team),
      keys.map(({ app }) => app),
      keys.map(({ environment }) => environment),
      keys.map(({ labels }) => JSON.stringify(labels)),
      keys.map(({ expiresAt }) => expiresAt ?? null),
      keys.map(({ requestedBy }) => requestedBy),
    ],
  );
}

/** Writes what a change made of a key. */
export async function updateKeyRow(client: PoolClient, key: ChangedKey): Promise<void> {
  await query(
    client,
    `update virtual_key set display_name = $2, team = $3, app = $4, environment = $5, labels = $6::jsonb, expires_at = $7,
       disabled_at = $8, rotated_at = $9, revoked_version = $10 where key_id = $1`,
    [
      key.keyId,
      key.displayName,
      key.team,
      key.app,
      key.environment,
      JSON.stringify(key.labels),
      key.expiresAt ?? null,
      key.disabledAt ?? null,
      key.rotatedAt ?? null,
      key.revokedVersion ?? null,
    ],
  );
}

/** One key of an organisation. */
export async function findKey(
  client: Pool | PoolClient,
  organisation: string,
  keyId: string,
): Promise<StoredKey | undefined> {
  const rows = await query<KeyRow>(client, `${SELECT} where k.organisation = $1 and k.key_id = $2`, [
    organisation,
    keyId,
  ]);
  return rows.map(toKey)[0];
}

/** The keys that these requests of an operator made, by the request that made each. */
export async function findKeysByRequests(
  client: PoolClient,
  requestIds: readonly string[],
  requestedBy: string,
): Promise<Map<string, StoredKey>> {
  const rows = await query<KeyRow & { request_id: string }>(
    client,
    `select k.request_id, ${KEY_COLUMNS} from virtual_key k join keyring_entry e on e.id = k.key_id
      where k.request_id = any($1::uuid[]) and k.requested_by in ($2, '') order by k.requested_by`,
    [requestIds, requestedBy],
  );
  return new Map(rows.map((row) => [row.request_id, toKey(row)]));
}

/** Whether a tenant, by its path, has a key that is not revoked. */
export async function hasLivingKeys(client: PoolClient, tenant: string): Promise<boolean> {
  const [organisation, team, app] = tenant.split("/");
  const rows = await query(
    client,
    `select 1 from virtual_key where organisation = $1 and ($2::text is null or team = $2) and ($3::text is null or app = $3)
        and revoked_version is null limit 1`,
    [organisation, team ?? null, app ?? null],
  );
  return rows.length > 0;
}

/** At most `limit` keys, with their grants, whose row a build of before the index wrote. */
export async function listUnfilledKeys(pool: Pool, limit: number): Promise<StoredKey[]> {
  const rows = await query<KeyRow>(pool, `${SELECT} where k.team is null order by k.position limit $1`, [limit]);
  return rows.map(toKey);
}

/** Writes what keys are looked for by, where it is not written yet. */
export async function fillKeys(pool: Pool, keys: readonly KeyIndex[]): Promise<void> {
  await query(
    pool,
    `update virtual_key k set team = i.team, app = i.app, environment = i.environment, labels = i.labels, expires_at = i.expires_at
       from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[])
         as i (key_id, team, app, environment, labels, expires_at)
      where k.key_id = i.key_id and k.team is null`,
    [
      keys.map(({ keyId }) => keyId),
      keys.map(({ team }) => team),
      keys.map(({ app }) => app),
      keys.map(({ environment }) => environment),
      keys.map(({ labels }) => JSON.stringify(labels)),
      keys.map(({ expiresAt }) => expiresAt ?? null),
    ],
  );
}

/** A row as a key. */
export function toKey(row: KeyRow): StoredKey {
  return {
    keyId: row.key_id,
    position: row.position,
    organisation: row.organisation,
    displayName: row.display_name,
    createdAt: row.created_at,
    requestDigest: row.request_digest,
    rotatedAt: row.rotated_at ?? undefined,
    grant: row.grant_bytes,
    grantVersion: row.grant_version,
  };
}
