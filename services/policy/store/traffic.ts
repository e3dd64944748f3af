import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import type { InstanceLife } from "./instances.ts";

/** What an instance did with calls since it applied a version. */
export interface InstanceTraffic extends InstanceLife {
  readonly version: bigint;
  readonly calls: bigint;
  readonly failures: bigint;
  readonly denials: bigint;
  /** How long ago policy had confirmed its snapshot, milliseconds; absent when it never had. */
  readonly snapshotAgeMs: number | undefined;
  readonly keyringAgeMs: number | undefined;
}

/** Calls of some instances. */
export interface TrafficSum {
  readonly calls: number;
  readonly failures: number;
  readonly denials: number;
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
           $9::bigint[]) as t (region, instance, boot, version, calls, failures, denials, snapshot_age_ms, keyring_age_ms)
         join instance i on i.region = t.region and i.instance = t.instance
     ), stored as (
       insert into router_traffic as old (region, instance, boot, version, calls, failures, denials, snapshot_age_ms, keyring_age_ms, reported_at)
       select region, instance, boot, version, calls, failures, denials, snapshot_age_ms, keyring_age_ms, clock_timestamp() from told
       on conflict (region, instance, version) do update set
         boot = excluded.boot, calls = excluded.calls, failures = excluded.failures, denials = excluded.denials,
         snapshot_age_ms = excluded.snapshot_age_ms, keyring_age_ms = excluded.keyring_age_ms, reported_at = excluded.reported_at,
         -- A new life counts anew.
         marked_calls = case when old.boot = excluded.boot then old.marked_calls else 0 end,
         marked_failures = case when old.boot = excluded.boot then old.marked_failures else 0 end,
         marked_denials = case when old.boot = excluded.boot then old.marked_denials else 0 end
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
    ],
  );
}

/** Remembers what every instance has counted by now: from here on it is compared. */
export async function markTraffic(client: PoolClient): Promise<void> {
  await query(
    client,
    "update router_traffic set marked_calls = calls, marked_failures = failures, marked_denials = denials",
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
  const rows = await query<Record<string, bigint>>(
    client,
    `with compared as (
       select t.*, t.version = g.version as is_new, r.instance is not null or g.is_open as is_admitted
         from release_region g join router_traffic t on t.region = g.region and t.version in (g.version, g.base_version)
         left join release_router r on r.release_id = g.release_id and r.region = t.region and r.instance = t.instance
        where g.release_id = $1
     )
     select coalesce(sum(calls) filter (where is_new), 0)::bigint as after_calls,
            coalesce(sum(failures) filter (where is_new), 0)::bigint as after_failures,
            coalesce(sum(denials) filter (where is_new), 0)::bigint as after_denials,
            coalesce(sum(calls - marked_calls) filter (where not is_new and not is_admitted), 0)::bigint as during_calls,
            coalesce(sum(failures - marked_failures) filter (where not is_new and not is_admitted), 0)::bigint as during_failures,
            coalesce(sum(denials - marked_denials) filter (where not is_new and not is_admitted), 0)::bigint as during_denials,
            coalesce(sum(calls) filter (where not is_new), 0)::bigint as before_calls,
            coalesce(sum(failures) filter (where not is_new), 0)::bigint as before_failures,
            coalesce(sum(denials) filter (where not is_new), 0)::bigint as before_denials
       from compared`,
    [releaseId],
  );
  const of = (name: string): TrafficSum => ({
    calls: Number(rows[0]?.[`${name}_calls`] ?? 0n),
    failures: Number(rows[0]?.[`${name}_failures`] ?? 0n),
    denials: Number(rows[0]?.[`${name}_denials`] ?? 0n),
  });
  return { after: of("after"), during: of("during"), before: of("before") };
}
