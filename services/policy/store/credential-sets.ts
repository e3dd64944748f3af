import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** The set of credentials that a region is to have, as it is sent. */
export interface StoredCredentialSet {
  readonly region: string;
  /** From 1; one more with each change. */
  readonly version: bigint;
  /** The encoded CredentialSet. */
  readonly content: Uint8Array;
  /** SHA-256 of it. */
  readonly digest: Uint8Array;
  /** The signed note. */
  readonly head: Uint8Array;
}

/** The versions of all sets, by region. */
export async function listSetVersions(
  client: Pool | PoolClient,
): Promise<{ readonly region: string; readonly version: bigint }[]> {
  return await query<{ region: string; version: bigint }>(
    client,
    "select region, version from credential_set order by region",
  );
}

/** The set of a region; undefined when it never had a credential. */
export async function findCredentialSet(
  client: Pool | PoolClient,
  region: string,
): Promise<StoredCredentialSet | undefined> {
  const [row] = await query<{ region: string; version: bigint; content: Buffer; digest: Buffer; head: Buffer }>(
    client,
    "select region, version, content, digest, head from credential_set where region = $1",
    [region],
  );
  return row;
}

/** Stores the next set of a region in the place of the one before, which nobody needs any longer. */
export async function storeCredentialSet(client: PoolClient, set: StoredCredentialSet): Promise<void> {
  await query(
    client,
    `insert into credential_set (region, version, content, digest, head) values ($1, $2, $3, $4, $5)
     on conflict (region) do update set (version, content, digest, head) =
       (excluded.version, excluded.content, excluded.digest, excluded.head)`,
    [set.region, set.version, Buffer.from(set.content), Buffer.from(set.digest), Buffer.from(set.head)],
  );
}
