import { SnapshotKind, SnapshotPhase } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";

/** Names one life of a router. */
export interface InstanceLife {
  readonly region: string;
  readonly instance: string;
  readonly boot: string;
}

/** What an instance said of a version. */
export interface InstanceReport extends InstanceLife {
  readonly build: string;
  /** weir.policy.v1.SnapshotKind. */
  readonly kind: number;
  readonly version: bigint;
  readonly digest: Uint8Array;
  /** weir.policy.v1.SnapshotPhase. */
  readonly phase: number;
  readonly reasons: readonly string[];
  readonly runningVersion: bigint;
  /** How often the version has crashed it. */
  readonly crashes: number;
}

// Every time in these tables is the database's: instances of policy, whose clocks differ, compare what others wrote.

/** A report as it is listed. */
export type StoredReport = Omit<InstanceReport, keyof InstanceLife | "build" | "digest"> & {
  readonly reportedAt: Date;
};

/** An instance with its last report of each kind. */
export interface StoredInstance extends InstanceLife {
  readonly build: string;
  /** Whether some instance of policy saw it watching within the time that was asked for. */
  readonly isWatching: boolean;
  /** How long ago policy had confirmed its snapshot and keyring when it last said so, milliseconds. */
  readonly snapshotAgeMs: number | undefined;
  readonly keyringAgeMs: number | undefined;
  readonly reports: readonly StoredReport[];
}

/**
 * Stores a report. One of an earlier instant never replaces a later one. Of one life the newest version spoken of stays: a router
 * that starts from disk may say that it applied an old version after it refused a new one, and the refusal must stay to be seen. A
 * refusal is always seen, also of what has no version because its signature is bad.
 */
export async function storeReport(pool: Pool, report: InstanceReport): Promise<void> {
  await query(
    pool,
    `with known as (
       insert into instance (region, instance, boot, build) values ($1, $2, $3, $4)
       on conflict (region, instance) do update set boot = excluded.boot, build = excluded.build returning region
     )
     insert into instance_report as old
       (region, instance, kind, boot, version, digest, phase, reasons, running_version, crashes, reported_at)
     select $1, $2, $5, $3, $6, $7, $8, $9, $10, $12, clock_timestamp() from known
     on conflict (region, instance, kind) do update set
       (boot, version, digest, phase, reasons, running_version, crashes, reported_at) =
       (select excluded.boot,
               case when is_older then old.version else excluded.version end,
               case when is_older then old.digest else excluded.digest end,
               case when is_older then old.phase else excluded.phase end,
               case when is_older then old.reasons else excluded.reasons end,
               excluded.running_version,
               case when is_older then old.crashes else excluded.crashes end,
               excluded.reported_at
          from (select old.boot = excluded.boot and excluded.version < old.version and excluded.phase <> $11 as is_older) as compared)
     where old.reported_at <= excluded.reported_at`,
    [
      report.region,
      report.instance,
      report.boot,
      report.build,
      report.kind,
      report.version,
      Buffer.from(report.digest),
      report.phase,
      [...report.reasons],
      report.runningVersion,
      SnapshotPhase.REFUSED,
      report.crashes,
    ],
  );
}

/** Notes who watches the policy instance of life `watchedBy` now, all in one statement. */
export async function markWatching(pool: Pool, watchedBy: string, lives: readonly InstanceLife[]): Promise<void> {
  if (lives.length === 0) return;
  // An instance that watches twice is noted once; a statement may not touch a row twice.
  const byName = new Map(lives.map((life) => [`${life.region}/${life.instance}`, life]));
  const distinct = [...byName.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, life]) => life);
  await query(
    pool,
    `insert into instance (region, instance, boot, watched_by, watched_at)
     select region, instance, boot, $4, now() from unnest($1::text[], $2::text[], $3::text[]) as life (region, instance, boot)
     on conflict (region, instance) do update set boot = excluded.boot, watched_by = $4, watched_at = now()`,
    [
      distinct.map(({ region }) => region),
      distinct.map(({ instance }) => instance),
      distinct.map(({ boot }) => boot),
      watchedBy,
    ],
  );
}

/** Notes that instances hung up, except those that watch another instance of policy by now. */
export async function markGone(pool: Pool, watchedBy: string, lives: readonly InstanceLife[]): Promise<void> {
  if (lives.length === 0) return;
  await query(
    pool,
    `update instance i set watched_at = null
       from unnest($1::text[], $2::text[], $3::text[]) as gone (region, instance, boot)
      where i.region = gone.region and i.instance = gone.instance and i.boot = gone.boot and i.watched_by = $4`,
    [
      lives.map(({ region }) => region),
      lives.map(({ instance }) => instance),
      lives.map(({ boot }) => boot),
      watchedBy,
    ],
  );
}

/** Forgets instances that neither watched nor reported for so many milliseconds. */
export async function forgetInstances(pool: Pool, afterMs: number): Promise<void> {
  await query(
    pool,
    `delete from instance i using (select now() - $1 * interval '1 millisecond' as instant) as limit_of
      where (watched_at is null or watched_at < instant)
        and not exists (select 1 from instance_report r
          where r.region = i.region and r.instance = i.instance and r.reported_at >= instant)`,
    [afterMs],
  );
}

/** At most `limit` instances after a name, by region and name; `region` absent means all. */
export async function listInstances(
  pool: Pool,
  options: {
    readonly region: string | undefined;
    readonly after: readonly [region: string, instance: string] | undefined;
    readonly limit: number;
    /** Who was seen watching within so many milliseconds is watching. */
    readonly watchingMs: number;
  },
): Promise<StoredInstance[]> {
  const [afterRegion, afterInstance] = options.after ?? ["", ""];
  const instances = await query<{
    region: string;
    instance: string;
    boot: string;
    build: string;
    is_watching: boolean;
    snapshot_age_ms: bigint | null;
    keyring_age_ms: bigint | null;
  }>(
    pool,
    `select region, instance, boot, build,
            watched_at is not null and watched_at >= now() - $5 * interval '1 millisecond' as is_watching, t.snapshot_age_ms, t.keyring_age_ms
       from instance i left join lateral (
         select snapshot_age_ms, keyring_age_ms from router_traffic t
          where t.region = i.region and t.instance = i.instance and t.boot = i.boot order by t.reported_at desc limit 1) t on true
      where ($1::text is null or region = $1) and (region, instance) > ($2, $3) order by region, instance limit $4`,
    [options.region ?? null, afterRegion, afterInstance, options.limit, options.watchingMs],
  );
  if (instances.length === 0) return [];
  const reports = await query<{
    region: string;
    instance: string;
    boot: string;
    kind: number;
    version: bigint;
    phase: number;
    reasons: string[];
    running_version: bigint;
    crashes: number;
    reported_at: Date;
  }>(
    pool,
    `select r.region, r.instance, r.boot, r.kind, r.version, r.phase, r.reasons, r.running_version, r.crashes, r.reported_at
       from instance_report r join unnest($1::text[], $2::text[]) as wanted (region, instance) using (region, instance)`,
    [instances.map(({ region }) => region), instances.map(({ instance }) => instance)],
  );
  return instances.map(({ region, instance, boot, build, is_watching, snapshot_age_ms, keyring_age_ms }) => ({
    region,
    instance,
    boot,
    build,
    isWatching: is_watching,
    snapshotAgeMs: snapshot_age_ms === null ? undefined : Number(snapshot_age_ms),
    keyringAgeMs: keyring_age_ms === null ? undefined : Number(keyring_age_ms),
    reports: reports
      // What an earlier life said tells nothing of this one.
      .filter((report) => report.region === region && report.instance === instance && report.boot === boot)
      .map(({ kind, version, phase, reasons, running_version, crashes, reported_at }) => ({
        kind,
        version,
        phase,
        reasons,
        runningVersion: running_version,
        crashes,
        reportedAt: reported_at,
      })),
  }));
}

/** A router as a release sees it. */
export interface StoredRouter {
  readonly region: string;
  readonly instance: string;
  readonly isWatching: boolean;
  /** What it said of snapshots in its present life; absent when it has said nothing yet. */
  readonly report: StoredRouterReport | undefined;
}

/** What a router last said of a snapshot. */
export interface StoredRouterReport {
  readonly version: bigint;
  /** weir.policy.v1.SnapshotPhase. */
  readonly phase: number;
  readonly reasons: readonly string[];
  readonly runningVersion: bigint;
  readonly crashes: number;
}

/** Every instance with what it says of its snapshot: a few thousand rows at most, since who is gone is forgotten after a day. */
export async function listRouters(client: Pool | PoolClient, watchingMs: number): Promise<StoredRouter[]> {
  const rows = await query<{
    region: string;
    instance: string;
    is_watching: boolean;
    version: bigint | null;
    phase: number;
    reasons: string[];
    running_version: bigint;
    crashes: number;
  }>(
    client,
    `select i.region, i.instance, i.watched_at is not null and i.watched_at >= now() - $2 * interval '1 millisecond' as is_watching,
            r.version, r.phase, r.reasons, r.running_version, r.crashes
       from instance i left join instance_report r on r.region = i.region and r.instance = i.instance and r.boot = i.boot and r.kind = $1
      order by i.region, i.instance`,
    [SnapshotKind.SNAPSHOT, watchingMs],
  );
  return rows.map(({ region, instance, is_watching, version, phase, reasons, running_version, crashes }) => ({
    region,
    instance,
    isWatching: is_watching,
    report: version === null ? undefined : { version, phase, reasons, runningVersion: running_version, crashes },
  }));
}
