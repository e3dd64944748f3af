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

/** A region with the versions of its snapshots. */
export interface StoredRegion {
  readonly region: string;
  /** The latest, which a release may be bringing in waves. */
  readonly snapshotVersion: bigint;
  /** The one that was last released to all routers; 0 until a first one is. */
  readonly releasedVersion: bigint;
}

/** Every region that was ever named, by id. */
export async function listRegions(client: Pool | PoolClient): Promise<StoredRegion[]> {
  const rows = await query<{ region: string; snapshot_version: bigint; released_version: bigint | null }>(
    client,
    "select region, snapshot_version, released_version from region order by region",
  );
  return rows.map(({ region, snapshot_version, released_version }) => ({
    region,
    snapshotVersion: snapshot_version,
    releasedVersion: released_version ?? 0n,
  }));
}

/** Stores a region's new snapshot and makes it the latest; who runs it is the release's to say. */
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

/** One snapshot of a region. */
export async function findSnapshot(
  client: Pool | PoolClient,
  region: string,
  version: bigint,
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
    "select region, version, policy_version, content, digest, head from snapshot where region = $1 and version = $2",
    [region, version],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { policy_version: policyVersion, ...rest } = row;
  return { ...rest, policyVersion };
}
