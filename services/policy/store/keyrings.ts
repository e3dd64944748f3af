import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** A version of the keyring. */
export interface StoredKeyring {
  readonly version: bigint;
  readonly digest: Uint8Array;
  readonly createdAt: Date;
}

/** An entry as a version left it. */
export interface StoredEntry {
  readonly id: string;
  /** The encoded KeyringGrant; absent when the entry is gone. */
  readonly grant: Uint8Array | undefined;
  /** Version that changed it last. */
  readonly version: bigint;
}

/** A region's signed head of a keyring. */
export interface StoredKeyringHead {
  readonly region: string;
  readonly version: bigint;
  readonly head: Uint8Array;
}

/** The latest version of the keyring. */
export async function findLatestKeyring(client: Pool | PoolClient): Promise<StoredKeyring | undefined> {
  const rows = await query<{ version: bigint; digest: Buffer; created_at: Date }>(
    client,
    "select version, digest, created_at from keyring order by version desc limit 1",
  );
  const [row] = rows;
  return row && { version: row.version, digest: row.digest, createdAt: row.created_at };
}

/** The digest of one version; undefined when there is none. */
export async function findKeyringDigest(client: Pool | PoolClient, version: bigint): Promise<Uint8Array | undefined> {
  const rows = await query<{ digest: Buffer }>(client, "select digest from keyring where version = $1", [version]);
  return rows[0]?.digest;
}

/** Entries that changed after a version (0: all), by version. */
export async function listEntriesSince(client: Pool | PoolClient, version: bigint): Promise<StoredEntry[]> {
  const rows = await query<{ id: string; grant_bytes: Buffer | null; version: bigint }>(
    client,
    "select id, grant_bytes, version from keyring_entry where version > $1 order by version, id",
    [version],
  );
  return rows.map(({ id, grant_bytes, version: changed }) => ({
    id,
    grant: grant_bytes ?? undefined,
    version: changed,
  }));
}

/** Grants of at most `limit` entries of keys after an id (absent: from the first), with their ids. */
export async function listGrants(
  client: Pool | PoolClient,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
): Promise<{ readonly id: string; readonly grant: Uint8Array }[]> {
  const rows = await query<{ id: string; grant_bytes: Buffer }>(
    client,
    `select id, grant_bytes from keyring_entry where id > $1 and grant_bytes is not null and id not like 'tenant:%'
      order by id limit $2`,
    [after ?? "", limit],
  );
  return rows.map(({ id, grant_bytes }) => ({ id, grant: grant_bytes }));
}

/** One entry; nothing for an id that is not there, or no longer. */
export async function findEntry(client: Pool | PoolClient, id: string): Promise<StoredEntry | undefined> {
  const rows = await query<{ grant_bytes: Buffer; version: bigint }>(
    client,
    "select grant_bytes, version from keyring_entry where id = $1 and grant_bytes is not null",
    [id],
  );
  return rows.map(({ grant_bytes, version }) => ({ id, grant: grant_bytes, version }))[0];
}

/** At most `limit` entries of disabled tenants of an organisation after an id, by id. */
export async function listTenantEntries(
  pool: Pool,
  organisation: string,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<StoredEntry[]> {
  const rows = await query<{ id: string; grant_bytes: Buffer; version: bigint }>(
    pool,
    `select id, grant_bytes, version from keyring_entry
      where left(id, 7) = 'tenant:' and grant_bytes is not null and (id = $1 or starts_with(id, $1 || '/'))
        and id collate "C" > $2 order by id collate "C" limit $3`,
    [`tenant:${organisation}`, after, limit],
  );
  return rows.map(({ id, grant_bytes, version }) => ({ id, grant: grant_bytes, version }));
}

/** The signed heads of a version, by region. */
export async function listKeyringHeads(client: Pool | PoolClient, version: bigint): Promise<StoredKeyringHead[]> {
  const rows = await query<{ region: string; version: bigint; head: Buffer }>(
    client,
    "select region, version, head from keyring_head where version = $1 order by region",
    [version],
  );
  return rows.map(({ region, version: of, head }) => ({ region, version: of, head }));
}

/** Stores a new version of the keyring with the entries that it changes. */
export async function insertKeyring(
  client: PoolClient,
  keyring: StoredKeyring,
  changed: readonly { readonly id: string; readonly grant: Uint8Array | undefined }[],
): Promise<void> {
  await query(client, "insert into keyring (version, digest, created_at) values ($1, $2, $3)", [
    keyring.version,
    Buffer.from(keyring.digest),
    keyring.createdAt,
  ]);
  await query(
    client,
    `insert into keyring_entry (id, grant_bytes, version) select id, grant_bytes, $3 from unnest($1::text[], $2::bytea[]) as
       entry (id, grant_bytes)
     on conflict (id) do update set grant_bytes = excluded.grant_bytes, version = excluded.version`,
    [
      changed.map(({ id }) => id),
      changed.map(({ grant }) => (grant === undefined ? null : Buffer.from(grant))),
      keyring.version,
    ],
  );
}

/** Stores signed heads. One that is there already stays. */
export async function insertKeyringHeads(client: PoolClient, heads: readonly StoredKeyringHead[]): Promise<void> {
  await query(
    client,
    `insert into keyring_head (region, version, head)
     select * from unnest($1::text[], $2::bigint[], $3::bytea[]) on conflict do nothing`,
    [
      heads.map(({ region }) => region),
      heads.map(({ version }) => version),
      heads.map(({ head }) => Buffer.from(head)),
    ],
  );
}
