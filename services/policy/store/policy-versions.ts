import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";

/** A version of the policy without its content. */
export interface StoredVersion {
  readonly version: bigint;
  readonly organisation: string;
  readonly digest: Uint8Array;
  /** Version whose content it repeats; 0 when it is no rollback. */
  readonly contentOf: bigint;
  readonly comment: string;
  readonly publishedAt: Date;
  /** Who published it; empty when it was not kept yet. */
  readonly publishedBy: string;
  /** What each region got by it, by region. */
  readonly snapshots: readonly StoredRegionSnapshot[];
}

/** What a region got by a version. */
export interface StoredRegionSnapshot {
  readonly region: string;
  readonly version: bigint;
  readonly digest: Uint8Array;
  readonly sizeBytes: bigint;
}

/** A version with its content, encoded. */
export interface StoredPolicy extends StoredVersion {
  readonly content: Uint8Array;
}

/** What is needed to store a version. */
export type NewVersion = Omit<StoredPolicy, "snapshots"> & { readonly requestId: string };

type Row = {
  version: bigint;
  organisation: string;
  digest: Buffer;
  content_of: bigint;
  comment: string;
  published_at: Date;
  published_by: string;
  content: Buffer;
};

const COLUMNS = "version, organisation, digest, content_of, comment, published_at, published_by";

/** One version with its content; 0 asks for the latest. */
export async function findPolicy(client: Pool | PoolClient, version: bigint): Promise<StoredPolicy | undefined> {
  const rows = await query<Row>(
    client,
    version === 0n
      ? `select ${COLUMNS}, content from policy_version order by version desc limit 1`
      : `select ${COLUMNS}, content from policy_version where version = $1`,
    version === 0n ? [] : [version],
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const [complete] = await complement(client, [row]);
  return complete === undefined ? undefined : { ...complete, content: row.content };
}

/** Digest of the latest version's content; undefined when nothing is published yet. */
export async function findLatestDigest(client: PoolClient): Promise<Uint8Array | undefined> {
  const rows = await query<{ digest: Buffer }>(
    client,
    "select digest from policy_version order by version desc limit 1",
  );
  return rows[0]?.digest;
}

/** The version that a request of this operator made, when it made one. */
export async function findVersionByRequest(
  client: PoolClient,
  requestId: string,
  requestedBy: string,
): Promise<StoredVersion | undefined> {
  const rows = await query<Row>(
    client,
    `select ${COLUMNS} from policy_version where request_id = $1 and published_by in ($2, '') order by published_by desc limit 1`,
    [requestId, requestedBy],
  );
  const [complete] = await complement(client, rows);
  return complete;
}

/** At most `limit` versions below `before` (absent: from the latest), newest first. */
export async function listVersions(
  pool: Pool,
  { before, limit }: { readonly before: bigint | undefined; readonly limit: number },
): Promise<StoredVersion[]> {
  const rows = await query<Row>(
    pool,
    `select ${COLUMNS} from policy_version where $1::bigint is null or version < $1 order by version desc limit $2`,
    [before ?? null, limit],
  );
  return await complement(pool, rows);
}

/** Id of the organisation whose policy a version is. */
export async function getOrganisation(client: PoolClient, version: bigint): Promise<string> {
  const rows = await query<{ organisation: string }>(
    client,
    "select organisation from policy_version where version = $1",
    [version],
  );
  const [row] = rows;
  if (row === undefined) throw new WeirError("INTERNAL", `Cannot find organisation: there is no version ${version}`);
  return row.organisation;
}

/** Stores a version. */
export async function insertVersion(client: PoolClient, version: NewVersion): Promise<void> {
  await query(
    client,
    `insert into policy_version (version, organisation, content, digest, content_of, comment, request_id, published_at,
       published_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      version.version,
      version.organisation,
      Buffer.from(version.content),
      Buffer.from(version.digest),
      version.contentOf,
      version.comment,
      version.requestId,
      version.publishedAt,
      version.publishedBy,
    ],
  );
}

async function complement(client: Pool | PoolClient, rows: readonly Row[]): Promise<StoredVersion[]> {
  if (rows.length === 0) return [];
  const snapshots = await query<{
    policy_version: bigint;
    region: string;
    version: bigint;
    digest: Buffer;
    size: bigint;
  }>(
    client,
    `select policy_version, region, version, digest, length(content)::bigint as size from snapshot
      where policy_version = any($1::bigint[]) order by region`,
    [rows.map(({ version }) => version)],
  );
  const byVersion = Map.groupBy(snapshots, (snapshot) => snapshot.policy_version);
  return rows.map((row) => ({
    version: row.version,
    organisation: row.organisation,
    digest: row.digest,
    contentOf: row.content_of,
    comment: row.comment,
    publishedAt: row.published_at,
    publishedBy: row.published_by,
    snapshots: (byVersion.get(row.version) ?? []).map(({ region, version, digest, size }) => ({
      region,
      version,
      digest,
      sizeBytes: size,
    })),
  }));
}
