import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { type OverheadBucket, OverheadBucketSchema } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import type { InstanceLife } from "./instances.ts";

/** What an instance did with calls since it applied a version. */
export interface InstanceTraffic extends InstanceLife {
  readonly version: bigint;
  readonly calls: bigint;
  readonly failures: bigint;
  readonly denials: bigint;
  /** By the time that it took for them itself, shortest first; empty when it did not say. */
  readonly overhead: readonly OverheadBucket[];
  /** How long ago policy had confirmed its snapshot, milliseconds; absent when it never had. */
  readonly snapshotAgeMs: number | undefined;
  readonly keyringAgeMs: number | undefined;
}

/** Calls of some instances. */
export interface TrafficSum {
  readonly calls: number;
  readonly failures: number;
  readonly denials: number;
  /** By the time that the instances took for them themselves, shortest first. */
  readonly overhead: readonly OverheadBucket[];
}

/** Stores what instances said, all in one statement, of each instance and version once; what is older than the last two versions goes. */
export async function storeTraffic(pool: Pool, reports: readonly InstanceTraffic[]): Promise<void> {
  if (reports.length === 0) return;
  const list = <T>(pick: (report: InstanceTraffic) => T) => reports.map(pick);
  const age = (ms: number | undefined) => (ms === undefined ? null : Math.round(ms));
  await query(
    pool,
    `with told as (
       select t.* from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
           $9::bigint[], $10::jsonb[]) as t (region, instance, boot, version, calls, failures, denials, snapshot_age_ms, keyring_age_ms, overhead)
         join instance i on i.region = t.region and i.instance = t.instance
     ), stored as (
       insert into router_traffic as old (region, instance, boot, version, calls, failures, denials, snapshot_age_ms, keyring_age_ms, overhead,
           reported_at)
       select region, instance, boot, version, calls, failures, denials, snapshot_age_ms, keyring_age_ms, overhead, clock_timestamp() from told
       on conflict (region, instance, version) do update set
         boot = excluded.boot, calls = excluded.calls, failures = excluded.failures, denials = excluded.denials,
         snapshot_age_ms = excluded.snapshot_age_ms, keyring_age_ms = excluded.keyring_age_ms, overhead = excluded.overhead,
         reported_at = excluded.reported_at,
         -- A new life counts anew.
         marked_calls = case when old.boot = excluded.boot then old.marked_calls else 0 end,
         marked_failures = case when old.boot = excluded.boot then old.marked_failures else 0 end,
         marked_denials = case when old.boot = excluded.boot then old.marked_denials else 0 end,
         marked_overhead = case when old.boot = excluded.boot then old.marked_overhead else '{}' end
     )
     delete from router_traffic r using told
      where r.region = told.region and r.instance = told.instance and r.version < (
        select max(b.version) from router_traffic b
         where b.region = told.region and b.instance = told.instance and b.version < told.version)`,
    [
      list(({ region }) => region),
      list(({ instance }) => instance),
      list(({ boot }) => boot),
      list(({ version }) => version),
      list(({ calls }) => calls),
      list(({ failures }) => failures),
      list(({ denials }) => denials),
      list(({ snapshotAgeMs }) => age(snapshotAgeMs)),
      list(({ keyringAgeMs }) => age(keyringAgeMs)),
      list(({ overhead }) => JSON.stringify(toCallsByMicros(overhead))),
    ],
  );
}

/** Remembers what every instance has counted by now: from here on it is compared. */
export async function markTraffic(client: PoolClient): Promise<void> {
  await query(
    client,
    "update router_traffic set marked_calls = calls, marked_failures = failures, marked_denials = denials, marked_overhead = overhead",
  );
}

/**
 * The calls that a release is judged by: *after*, of instances that run its version, since they applied it; *during*, of those that run
 * the version before, since the present wave began; *before*, of all that ran that version, since they applied it.
 */
export async function sumTraffic(
  client: Pool | PoolClient,
  releaseId: string,
): Promise<{ readonly after: TrafficSum; readonly during: TrafficSum; readonly before: TrafficSum }> {
  const rows = await query<
    Record<`${Compared}_${"calls" | "failures" | "denials"}`, bigint> & { overhead: OverheadRow[] }
  >(
    client,
    `with compared as (
       select t.*, t.version = g.version as is_new, r.instance is not null or g.is_open as is_admitted
         from release_region g join router_traffic t on t.region = g.region and t.version in (g.version, g.base_version)
         left join release_router r on r.release_id = g.release_id and r.region = t.region and r.instance = t.instance
        where g.release_id = $1
     ), told as (
       -- A build of before marks were kept may have left one of an earlier life.
       select o.at_most::float8 as micros, c.is_new, c.is_admitted, o.calls::bigint as calls,
              greatest(o.calls::bigint - coalesce((c.marked_overhead ->> o.at_most)::bigint, 0), 0) as unmarked
         from compared c cross join lateral jsonb_each_text(c.overhead) as o (at_most, calls)
     ), buckets as (
       select micros,
              coalesce(sum(calls) filter (where is_new), 0) as after,
              coalesce(sum(unmarked) filter (where not is_new and not is_admitted), 0) as during,
              coalesce(sum(calls) filter (where not is_new), 0) as before
         from told group by micros
     )
     select coalesce(sum(calls) filter (where is_new), 0)::bigint as after_calls,
            coalesce(sum(failures) filter (where is_new), 0)::bigint as after_failures,
            coalesce(sum(denials) filter (where is_new), 0)::bigint as after_denials,
            coalesce(sum(calls - marked_calls) filter (where not is_new and not is_admitted), 0)::bigint as during_calls,
            coalesce(sum(failures - marked_failures) filter (where not is_new and not is_admitted), 0)::bigint as during_failures,
            coalesce(sum(denials - marked_denials) filter (where not is_new and not is_admitted), 0)::bigint as during_denials,
            coalesce(sum(calls) filter (where not is_new), 0)::bigint as before_calls,
            coalesce(sum(failures) filter (where not is_new), 0)::bigint as before_failures,
            coalesce(sum(denials) filter (where not is_new), 0)::bigint as before_denials,
            (select coalesce(json_agg(b order by b.micros), '[]') from buckets b) as overhead
       from compared`,
    [releaseId],
  );
  const of = (name: Compared): TrafficSum => ({
    calls: Number(rows[0]?.[`${name}_calls`] ?? 0n),
    failures: Number(rows[0]?.[`${name}_failures`] ?? 0n),
    denials: Number(rows[0]?.[`${name}_denials`] ?? 0n),
    overhead: (rows[0]?.overhead ?? []).map((row) => toBucket(row.micros, row[name])),
  });
  return { after: of("after"), during: of("during"), before: of("before") };
}

type Compared = "after" | "during" | "before";

/** JSON knows no infinity: PostgreSQL writes it as text. */
type OverheadRow = Readonly<Record<Compared, number>> & { readonly micros: number | "Infinity" };

function toCallsByMicros(overhead: readonly OverheadBucket[]): Record<string, number> {
  return Object.fromEntries(overhead.map(({ atMost, calls }) => [toMicros(atMost), Number(calls)]));
}

function toMicros(atMost: Duration | undefined): number {
  return atMost === undefined
    ? Number.POSITIVE_INFINITY
    : Number(atMost.seconds) * 1e6 + Math.round(atMost.nanos / 1e3);
}

function toBucket(micros: OverheadRow["micros"], calls: number): OverheadBucket {
  const atMost = micros === "Infinity" ? undefined : toDuration(micros);
  return create(OverheadBucketSchema, { calls: BigInt(calls), ...(atMost !== undefined && { atMost }) });
}

function toDuration(micros: number) {
  return { seconds: BigInt(Math.floor(micros / 1e6)), nanos: (micros % 1e6) * 1e3 };
}
