import { type Pool, query } from "../../shared/database/pool.ts";

/** What an instance said of the credentials that it was sent. */
export interface StoredCredentialReport {
  readonly region: string;
  readonly instance: string;
  readonly boot: string;
  readonly setVersion: bigint;
  readonly held: readonly {
    readonly organisation: string;
    readonly name: string;
    readonly version: bigint;
    readonly refusal: string;
  }[];
}

/** How far the connected routers of a region are with one credential. */
export interface CredentialUse {
  readonly name: string;
  readonly region: string;
  /** Routers that are connected and have reported in their present life. */
  readonly routers: number;
  /** How many of them use the region's version, or a later one. */
  readonly using: number;
  /** The first 16 of the others, by name. */
  readonly laggards: readonly { readonly instance: string; readonly version: bigint; readonly refusal: string }[];
}

/** Stores what an instance says in the place of what it said before. A report of an earlier set in the same life changes nothing. */
export async function storeCredentialReport(pool: Pool, report: StoredCredentialReport): Promise<void> {
  const held = report.held.map(({ organisation, name, version, refusal }) => ({
    organisation,
    name,
    version: String(version),
    refusal,
  }));
  await query(
    pool,
    `with known as (
       insert into instance (region, instance, boot) values ($1, $2, $3)
       on conflict (region, instance) do update set boot = excluded.boot returning region
     )
     insert into credential_report as old (region, instance, boot, set_version, held, reported_at)
     select $1, $2, $3, $4, $5::jsonb, clock_timestamp() from known
     on conflict (region, instance) do update set (boot, set_version, held, reported_at) =
       (excluded.boot, excluded.set_version, excluded.held, excluded.reported_at)
     where old.boot <> excluded.boot or old.set_version <= excluded.set_version`,
    [report.region, report.instance, report.boot, report.setVersion, JSON.stringify(held)],
  );
}

/** Who uses these credentials of an organisation. Who was seen within `watchingMs` is connected. */
export async function listCredentialUse(
  pool: Pool,
  organisation: string,
  names: readonly string[],
  watchingMs: number,
): Promise<CredentialUse[]> {
  const rows = await query<{
    name: string;
    region: string;
    routers: bigint;
    using: bigint;
    instances: string[] | null;
    versions: (string | bigint)[] | null;
    refusals: string[] | null;
  }>(
    pool,
    `with state as (
       select s.name, s.region, i.instance, s.version, coalesce(h.version, 0) as held, coalesce(h.refusal, '') as refusal
         from sealed_credential s
         join instance i on i.region = s.region and i.watched_at >= now() - $3 * interval '1 millisecond'
         join credential_report r on r.region = i.region and r.instance = i.instance and r.boot = i.boot
         left join lateral jsonb_to_recordset(r.held) as h (organisation text, name text, version bigint, refusal text)
           on h.organisation = s.organisation and h.name = s.name
        where s.organisation = $1 and s.name = any($2)
     )
     select name, region, count(*) as routers, count(*) filter (where held >= version) as using,
            (array_agg(instance order by instance) filter (where held < version))[1:16] as instances,
            (array_agg(held::text order by instance) filter (where held < version))[1:16] as versions,
            (array_agg(refusal order by instance) filter (where held < version))[1:16] as refusals
       from state group by name, region`,
    [organisation, [...names], watchingMs],
  );
  return rows.map(({ name, region, routers, using, instances, versions, refusals }) => ({
    name,
    region,
    routers: Number(routers),
    using: Number(using),
    laggards: (instances ?? []).map((instance, index) => ({
      instance,
      version: BigInt(versions?.[index] ?? 0),
      refusal: refusals?.[index] ?? "",
    })),
  }));
}
