import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** A snapshot as it is stored. */
export interface StoredSnapshot {
  readonly region: string;
  readonly version: bigint;
  readonly policyVersion: bigint;
  /** The encoding of the weir.policy.v1.Snapshot. */
  readonly content: Uint8Array;
  readonly digest: Uint8Array;
  /** Its signed head. */
  readonly head: Uint8Array;
}

/** A region with the version of its latest snapshot. */
export interface StoredRegion {
  readonly region: string;
  readonly snapshotVersion: bigint;
}

/** Every region that was ever named, by id. */
export async function listRegions(client: Pool | PoolClient): Promise<StoredRegion[]> {
  const rows = await query<{ region: string; snapshot_version: bigint }>(
    client,
    "select region, snapshot_version from region order by region",
  );
  return rows.map(({ region, snapshot_version }) => ({ region, snapshotVersion: snapshot_version }));
}

/** Stores a region's new snapshot and makes it the latest. */
export async function insertSnapshot(client: PoolClient, snapshot: StoredSnapshot): Promise<void> {
  const { region, version, policyVersion, content, digest, head } = snapshot;
  await query(
    client,
    `insert into region (region, snapshot_version) values ($1, $2)
     on conflict (region) do update set snapshot_version = excluded.snapshot_version`,
    [region, version],
  );
  await query(
    client,
    "insert into snapshot (region, version, policy_version, content, digest, head) values ($1, $2, $3, $4, $5, $6)",
    [region, version, policyVersion, Buffer.from(content), Buffer.from(digest), Buffer.from(head)],
  );
}

/** The latest snapshot of a region. */
export async function findLatestSnapshot(
  client: Pool | PoolClient,
  region: string,
): Promise<StoredSnapshot | undefined> {
  const rows = await query<{
    region: string;
    version: bigint;
    policy_version: bigint;
    content: Buffer;
    digest: Buffer;
    head: Buffer;
  }>(
    client,
    `select s.region, s.version, s.policy_version, s.content, s.digest, s.head
       from region r join snapshot s on s.region = r.region and s.version = r.snapshot_version where r.region = $1`,
    [region],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { policy_version: policyVersion, ...rest } = row;
  return { ...rest, policyVersion };
}
