import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** A credential in one region, sealed. */
export interface StoredEnvelope {
  readonly organisation: string;
  readonly name: string;
  readonly region: string;
  readonly version: bigint;
  /** The encoded SealedCredential. */
  readonly sealed: Uint8Array;
  /** Version of the region's set that brought it. */
  readonly setVersion: bigint;
  readonly setAt: Date;
}

/** A credential: its latest version, and what each region has of it, by region. */
export interface StoredCredential {
  readonly organisation: string;
  readonly name: string;
  readonly version: bigint;
  readonly envelopes: readonly StoredEnvelope[];
}

type EnvelopeRow = {
  region: string;
  organisation: string;
  name: string;
  version: bigint;
  sealed: Buffer;
  set_version: bigint;
  set_at: Date;
};

const ENVELOPE = "select region, organisation, name, version, sealed, set_version, set_at from sealed_credential";

/** One credential; undefined when there never was one of that name. */
export async function findCredential(
  client: Pool | PoolClient,
  organisation: string,
  name: string,
): Promise<StoredCredential | undefined> {
  const [row] = await query<{ version: bigint }>(
    client,
    "select version from credential where organisation = $1 and name = $2",
    [organisation, name],
  );
  if (row === undefined) return undefined;
  const envelopes = await query<EnvelopeRow>(
    client,
    `${ENVELOPE} where organisation = $1 and name = $2 order by region`,
    [organisation, name],
  );
  return { organisation, name, version: row.version, envelopes: envelopes.map(toEnvelope) };
}

/** At most `limit` credentials of an organisation after a name, by name; without those that were deleted everywhere. */
export async function listCredentials(
  pool: Pool,
  organisation: string,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<StoredCredential[]> {
  const rows = await query<{ name: string; version: bigint }>(
    pool,
    `select name, version from credential c where organisation = $1 and name > $2 collate "C"
        and exists (select 1 from sealed_credential s where s.organisation = c.organisation and s.name = c.name)
      order by name collate "C" limit $3`,
    [organisation, after, limit],
  );
  const envelopes = await query<EnvelopeRow>(
    pool,
    `${ENVELOPE} where organisation = $1 and name = any($2) order by region`,
    [organisation, rows.map(({ name }) => name)],
  );
  const byName = Map.groupBy(envelopes.map(toEnvelope), ({ name }) => name);
  return rows.map(({ name, version }) => ({ organisation, name, version, envelopes: byName.get(name) ?? [] }));
}

/** Every envelope of a region, in the order of its set. */
export async function listRegionEnvelopes(client: PoolClient, region: string): Promise<StoredEnvelope[]> {
  const rows = await query<EnvelopeRow>(
    client,
    `${ENVELOPE} where region = $1 order by organisation collate "C", name collate "C"`,
    [region],
  );
  return rows.map(toEnvelope);
}

/** Stores what a change sets, with the credential's new version. */
export async function storeEnvelopes(
  client: PoolClient,
  credential: Pick<StoredCredential, "organisation" | "name" | "version">,
  envelopes: readonly StoredEnvelope[],
): Promise<void> {
  await query(
    client,
    `insert into credential (organisation, name, version) values ($1, $2, $3)
     on conflict (organisation, name) do update set version = excluded.version`,
    [credential.organisation, credential.name, credential.version],
  );
  for (const { region, organisation, name, version, sealed, setVersion, setAt } of envelopes) {
    await query(
      client,
      `insert into sealed_credential (region, organisation, name, version, sealed, set_version, set_at)
       values ($1, $2, $3, $4, $5, $6, $7)
       on conflict (region, organisation, name) do update set (version, sealed, set_version, set_at) =
         (excluded.version, excluded.sealed, excluded.set_version, excluded.set_at)`,
      [region, organisation, name, version, Buffer.from(sealed), setVersion, setAt],
    );
  }
}

/** Takes a credential away from these regions. */
export async function deleteEnvelopes(
  client: PoolClient,
  { organisation, name }: Pick<StoredCredential, "organisation" | "name">,
  regions: readonly string[],
): Promise<void> {
  await query(client, "delete from sealed_credential where organisation = $1 and name = $2 and region = any($3)", [
    organisation,
    name,
    [...regions],
  ]);
}

/** What a request of an operator that changed a credential was; undefined when it changed none. */
export async function findCredentialChange(
  client: PoolClient,
  requestId: string,
  requestedBy: string,
): Promise<{ readonly requestDigest: Uint8Array; readonly name: string } | undefined> {
  const [row] = await query<{ request_digest: Buffer; name: string }>(
    client,
    `select request_digest, name from credential_change where request_id = $1 and requested_by in ($2, '')
      order by requested_by desc limit 1`,
    [requestId, requestedBy],
  );
  return row && { requestDigest: row.request_digest, name: row.name };
}

/** Remembers the request of a change. */
export async function insertCredentialChange(
  client: PoolClient,
  change: {
    readonly requestId: string;
    readonly requestedBy: string;
    readonly requestDigest: Uint8Array;
    readonly organisation: string;
    readonly name: string;
    readonly changedAt: Date;
  },
): Promise<void> {
  await query(
    client,
    `insert into credential_change (request_id, requested_by, request_digest, organisation, name, changed_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [
      change.requestId,
      change.requestedBy,
      Buffer.from(change.requestDigest),
      change.organisation,
      change.name,
      change.changedAt,
    ],
  );
}

function toEnvelope(row: EnvelopeRow): StoredEnvelope {
  const { region, organisation, name, version, sealed, set_version: setVersion, set_at: setAt } = row;
  return { region, organisation, name, version, sealed, setVersion, setAt };
}
