import { dateArray, int2Array, int8Array, textArray } from "../../shared/database/arrays.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import type { SpendSum } from "../ledger/roll-up.ts";

/** What spend can be told apart by; the names are those of the columns. */
const SPEND_COLUMNS = ["team", "app", "environment", "key", "model", "provider", "region", "day"] as const;

/** Something that spend can be told apart by. */
export type SpendColumn = (typeof SPEND_COLUMNS)[number];

/** Which spend, and where to go on. */
export interface SpendQuery {
  readonly organisation: string;
  /** YYYY-MM-DD, both included. */
  readonly firstDay: string;
  readonly lastDay: string;
  /** Without repeats. */
  readonly groupBy: readonly SpendColumn[];
  /** All must match, each with one of its values. */
  readonly filters: readonly { readonly column: SpendColumn; readonly values: readonly string[] }[];
  /** The last row of the page before. */
  readonly after?: SpendCursor;
  readonly limit: number;
}

/** Where a row stands: dearest first, then by its group. */
export interface SpendCursor {
  readonly costNanos: bigint;
  /** Values of the columns that were grouped by, in their order. */
  readonly group: readonly string[];
}

/** Spend of one group. */
export interface SpendGroup extends SpendCursor {
  readonly attempts: bigint;
  readonly calls: bigint;
  readonly meters: readonly number[];
  /** Beside `meters`. */
  readonly quantities: readonly bigint[];
}

/** Adds to spend. The sums come in the order of their keys, see `rollUp`. */
export async function addSpend(client: PoolClient, sums: readonly SpendSum[]): Promise<void> {
  if (sums.length === 0) return;
  await query(
    client,
    `insert into spend (organisation, day, team, app, environment, key, model, provider, region, meter,
       attempts, calls, quantity, cost_nanos)
     select * from unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
       $9::text[], $10::smallint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
     on conflict (organisation, day, team, app, environment, key, model, provider, region, meter) do update set
       attempts = spend.attempts + excluded.attempts, calls = spend.calls + excluded.calls,
       quantity = spend.quantity + excluded.quantity, cost_nanos = spend.cost_nanos + excluded.cost_nanos`,
    [
      textArray(sums, (sum) => sum.organisation),
      dateArray(sums, (sum) => sum.day),
      textArray(sums, (sum) => sum.team),
      textArray(sums, (sum) => sum.app),
      textArray(sums, (sum) => sum.environment),
      textArray(sums, (sum) => sum.key),
      textArray(sums, (sum) => sum.model),
      textArray(sums, (sum) => sum.provider),
      textArray(sums, (sum) => sum.region),
      int2Array(sums, (sum) => sum.meter),
      int8Array(sums, (sum) => sum.attempts),
      int8Array(sums, (sum) => sum.calls),
      int8Array(sums, (sum) => sum.quantity),
      int8Array(sums, (sum) => sum.costNanos),
    ],
  );
}

/** Adds spend up by group, dearest first. Without `groupBy` there is exactly one row, of zeros when there is no spend. */
export async function querySpend(pool: Pool, spend: SpendQuery): Promise<SpendGroup[]> {
  const values: unknown[] = [spend.organisation, spend.firstDay, spend.lastDay];
  const parameter = (value: unknown): string => `$${values.push(value)}`;
  // Only names of our own table of columns get into the text, values never.
  const columns = spend.groupBy.map((column) => SPEND_COLUMNS[SPEND_COLUMNS.indexOf(column)]!);
  const filters = spend.filters.map(
    ({ column, values: wanted }) => ` and ${asText(column)} = any(${parameter(wanted)}::text[])`,
  );
  const group = columns.length === 0 ? "array[]::text[]" : `array[${columns.join(", ")}]`;
  const rows = await query<SpendGroup & Record<string, unknown>>(
    pool,
    `with metered as (
       select ${columns.map((column) => `${asText(column)} as ${column}, `).join("")} meter, sum(attempts) as attempts,
              sum(calls) as calls, sum(quantity) as quantity, sum(cost_nanos) as cost_nanos
         from spend where organisation = $1 and day between $2 and $3${filters.join("")}
        group by ${[...columns.map((_, index) => String(index + 1)), "meter"].join(", ")}
     ), grouped as (
       select ${group} as "group", coalesce(sum(cost_nanos), 0)::bigint as "costNanos",
              coalesce(sum(attempts), 0)::bigint as attempts, coalesce(sum(calls), 0)::bigint as calls,
              coalesce(array_agg(meter order by meter) filter (where meter > 0), '{}') as meters,
              coalesce(array_agg(quantity::bigint order by meter) filter (where meter > 0), '{}') as quantities
         from metered ${columns.length === 0 ? "" : `group by ${columns.join(", ")}`}
     )
     select * from grouped ${afterClause(spend.after, parameter)}
      order by "costNanos" desc, "group" limit ${parameter(spend.limit)}`,
    values,
  );
  return rows;
}

function afterClause(after: SpendCursor | undefined, parameter: (value: unknown) => string): string {
  if (after === undefined) return "";
  const cost = `${parameter(after.costNanos)}::bigint`;
  return `where "costNanos" < ${cost} or ("costNanos" = ${cost} and "group" > ${parameter(after.group)}::text[])`;
}

function asText(column: SpendColumn): string {
  return column === "day" ? "to_char(day, 'YYYY-MM-DD')" : column;
}
