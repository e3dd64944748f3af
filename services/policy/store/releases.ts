import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Gates, GatesSchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ReleaseSchema, ReleaseState, type ReleaseWave } from "../../../gen/weir/policy/v1/release_pb.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** A release as it is stored. */
export interface StoredRelease {
  readonly releaseId: string;
  readonly policyVersion: bigint;
  /** Version that comes back when it fails; 0 when there was none. */
  readonly basePolicyVersion: bigint;
  readonly state: ReleaseState;
  /** Rises with each step. */
  readonly revision: number;
  readonly wave: number;
  readonly waves: readonly ReleaseWave[];
  readonly gates: Gates;
  readonly reasons: readonly string[];
  readonly rolledBackBy: bigint;
  readonly createdAt: Date;
  readonly enteredAt: Date;
  /** Since it came to its state, by the database's clock. */
  readonly inStateMs: number;
}

/** What a region gets by a release. */
export interface StoredReleaseRegion {
  readonly region: string;
  /** 0 where nothing ran before. */
  readonly baseVersion: bigint;
  readonly version: bigint;
  /** Whether every router of the region gets it. */
  readonly isOpen: boolean;
}

/** A router that a wave named. */
export interface StoredReleaseRouter {
  readonly region: string;
  readonly instance: string;
  readonly wave: number;
}

/** What is needed to store a release. */
export type NewRelease = Pick<
  StoredRelease,
  "releaseId" | "policyVersion" | "basePolicyVersion" | "state" | "waves" | "gates"
> & { readonly regions: readonly StoredReleaseRegion[] };

/** What a step changes. */
export type ReleaseChange = Pick<StoredRelease, "state" | "wave" | "reasons"> & { readonly rolledBackBy?: bigint };

type Row = {
  release_id: string;
  policy_version: bigint;
  base_policy_version: bigint;
  state: number;
  revision: number;
  wave: number;
  waves: Buffer;
  gates: Buffer;
  reasons: string[];
  rolled_back_by: bigint;
  created_at: Date;
  entered_at: Date;
  in_state_ms: number;
};

const SELECT = `select release_id, policy_version, base_policy_version, state, revision, wave, waves, gates, reasons, rolled_back_by,
  created_at, entered_at, (extract(epoch from clock_timestamp() - entered_at) * 1000)::float8 as in_state_ms from release`;

/** The states of a release that is under way. */
const UNDER_WAY: readonly ReleaseState[] = [
  ReleaseState.PENDING,
  ReleaseState.ROLLING,
  ReleaseState.BAKING,
  ReleaseState.HALTED,
];

/** The release that is under way, if one is. */
export async function findReleaseUnderWay(client: Pool | PoolClient): Promise<StoredRelease | undefined> {
  const rows = await query<Row>(client, `${SELECT} where state = any($1::smallint[])`, [UNDER_WAY]);
  return rows.map(toRelease)[0];
}

/** The release of a version of the policy; 0 asks for the latest. */
export async function findRelease(
  client: Pool | PoolClient,
  policyVersion: bigint,
): Promise<StoredRelease | undefined> {
  const rows = await query<Row>(
    client,
    `${SELECT} where $1::bigint = 0 or policy_version = $1 order by policy_version desc limit 1`,
    [policyVersion],
  );
  return rows.map(toRelease)[0];
}

/** What each region gets by a release, by region. */
export async function listReleaseRegions(client: Pool | PoolClient, releaseId: string): Promise<StoredReleaseRegion[]> {
  const rows = await query<{ region: string; base_version: bigint; version: bigint; is_open: boolean }>(
    client,
    "select region, base_version, version, is_open from release_region where release_id = $1 order by region",
    [releaseId],
  );
  return rows.map(({ region, base_version, version, is_open }) => ({
    region,
    baseVersion: base_version,
    version,
    isOpen: is_open,
  }));
}

/** The routers that its waves named, by region and name. */
export async function listReleaseRouters(client: Pool | PoolClient, releaseId: string): Promise<StoredReleaseRouter[]> {
  return await query<{ region: string; instance: string; wave: number }>(
    client,
    "select region, instance, wave from release_router where release_id = $1 order by region, instance",
    [releaseId],
  );
}

/**
 * The version of the policy below `before` that was last released to all, which is what a release that fails goes back to; 0 when there is none. One
 * from before there were releases was.
 */
export async function findReleasedPolicyVersion(client: PoolClient, before: bigint): Promise<bigint> {
  const rows = await query<{ version: bigint | null }>(
    client,
    `select max(v.version) as version from policy_version v left join release r on r.policy_version = v.version
      where v.version < $2 and (r.release_id is null or r.state = $1)`,
    [ReleaseState.DONE, before],
  );
  return rows[0]?.version ?? 0n;
}

/** Stores a release with what each region gets by it. */
export async function insertRelease(client: PoolClient, release: NewRelease): Promise<void> {
  const { releaseId, policyVersion, basePolicyVersion, state, waves, gates, regions } = release;
  await query(
    client,
    `insert into release (release_id, policy_version, base_policy_version, state, waves, gates)
     values ($1, $2, $3, $4, $5, $6)`,
    [
      releaseId,
      policyVersion,
      basePolicyVersion,
      state,
      Buffer.from(toBinary(ReleaseSchema, create(ReleaseSchema, { waves: [...waves] }))),
      Buffer.from(toBinary(GatesSchema, gates)),
    ],
  );
  await query(
    client,
    `insert into release_region (release_id, region, base_version, version, is_open)
     select $1, region, base_version, version, is_open
       from unnest($2::text[], $3::bigint[], $4::bigint[], $5::boolean[]) as got (region, base_version, version, is_open)`,
    [
      releaseId,
      regions.map(({ region }) => region),
      regions.map(({ baseVersion }) => baseVersion),
      regions.map(({ version }) => version),
      regions.map(({ isOpen }) => isOpen),
    ],
  );
}

/** Brings a release to another state, unless somebody else took a step since it was read: then it returns false and changes nothing. */
export async function updateRelease(
  client: PoolClient,
  { releaseId, revision }: StoredRelease,
  { state, wave, reasons, rolledBackBy = 0n }: ReleaseChange,
): Promise<boolean> {
  const rows = await query(
    client,
    `update release set state = $3, wave = $4, reasons = $5, rolled_back_by = $6, revision = revision + 1, entered_at = clock_timestamp()
      where release_id = $1 and revision = $2 returning release_id`,
    [releaseId, revision, state, wave, [...reasons], rolledBackBy],
  );
  return rows.length > 0;
}

/** Gives the version of a release to the routers that a wave names, and to all of the regions that it opens. */
export async function admitRouters(
  client: PoolClient,
  releaseId: string,
  admitted: readonly StoredReleaseRouter[],
  openRegions: readonly string[],
): Promise<void> {
  await query(
    client,
    `insert into release_router (release_id, region, instance, wave)
     select $1, region, instance, wave from unnest($2::text[], $3::text[], $4::int[]) as named (region, instance, wave)
     on conflict do nothing`,
    [
      releaseId,
      admitted.map(({ region }) => region),
      admitted.map(({ instance }) => instance),
      admitted.map(({ wave }) => wave),
    ],
  );
  await query(client, "update release_region set is_open = true where release_id = $1 and region = any($2::text[])", [
    releaseId,
    openRegions,
  ]);
}

/** Makes the latest snapshot of regions the one that all their routers run; without regions of every region. */
export async function releaseLatest(client: PoolClient, regions?: readonly string[]): Promise<void> {
  await query(
    client,
    "update region set released_version = snapshot_version where $1::text[] is null or region = any($1::text[])",
    [regions ?? null],
  );
}

function toRelease(row: Row): StoredRelease {
  return {
    releaseId: row.release_id,
    policyVersion: row.policy_version,
    basePolicyVersion: row.base_policy_version,
    state: row.state as ReleaseState,
    revision: row.revision,
    wave: row.wave,
    waves: fromBinary(ReleaseSchema, row.waves).waves,
    gates: fromBinary(GatesSchema, row.gates),
    reasons: row.reasons,
    rolledBackBy: row.rolled_back_by,
    createdAt: row.created_at,
    enteredAt: row.entered_at,
    inStateMs: row.in_state_ms,
  };
}
