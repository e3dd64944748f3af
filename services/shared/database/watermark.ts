import type { Producer } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Pool, PoolClient } from "./pool.ts";
import { query } from "./pool.ts";
import { EMPTY_SEQUENCE, type Gap, type Sequence, takeIn, watermarkOf } from "./sequence.ts";

/** One life of one instance that numbers its facts 1, 2, 3, … */
export interface ProducerKey {
  /** Id of its region, or "control". */
  readonly region: string;
  /** Stable name of the instance, such as "eu-1". */
  readonly producer: string;
  /** Id of this life. */
  readonly boot: string;
}

/** A fact's place in its producer's row. */
export interface Position extends ProducerKey {
  /** From 1. */
  readonly seq: bigint;
}

/** Longest name of a region, an instance or a boot that can be a place: what the proto allows is shorter. */
const NAME_LIMIT = 64;

/**
 * Finds the place that a fact claims. It comes from outside, and a fact that breaks the rules of its proto has a place too, else its
 * producer would keep it for ever. Undefined when it names none, or one that PostgreSQL cannot hold: NUL in a text, or a name too long
 * for an index.
 */
export function findPosition(producer: Producer | undefined): Position | undefined {
  if (producer === undefined) return undefined;
  const { region, instance, boot, seq } = producer;
  const isName = (text: string): boolean => text !== "" && text.length <= NAME_LIMIT && !text.includes("\0");
  if (seq < 1n || ![region, instance, boot].every(isName)) return undefined;
  return { region, producer: instance, boot, seq };
}

/** Numbers that a producer has used and that have not arrived. */
export interface MissingRange extends ProducerKey, Gap {
  /** When the range was first seen to be missing. */
  readonly since: Date;
}

/**
 * The two tables; an owner copies this text into its first migration. `producer_cursor` has one row for each life of a
 * producer, `producer_gap` one for each missing range below its highest number, which is rarely any.
 */
export const watermarkMigration = `
create table producer_cursor (
  region text not null,
  producer text not null,
  boot text not null,
  highest bigint not null check (highest >= 0),
  updated_at timestamptz not null default now(),
  primary key (region, producer, boot)
);
create table producer_gap (
  region text not null,
  producer text not null,
  boot text not null,
  first bigint not null check (first >= 1),
  last bigint not null check (last >= first),
  since timestamptz not null default now(),
  primary key (region, producer, boot, first),
  foreign key (region, producer, boot) references producer_cursor on delete cascade
);
`;

/**
 * Notes that the facts at these positions are committed. Call it inside the transaction that commits them, so that the
 * watermark never runs ahead of the facts. Repeats and any order are fine.
 */
export async function advance(client: PoolClient, positions: readonly Position[]): Promise<void> {
  // Producers are locked in one order, so that two intakes cannot wait for each other.
  for (const [, group] of [...groupByProducer(positions)].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [first] = group;
    if (first !== undefined) await advanceOne(client, first, group);
  }
}

/**
 * The highest seq at or below which all facts of this life are committed; 0 when the producer is unknown. A producer may
 * drop everything up to it.
 */
export async function getWatermark(client: Pool | PoolClient, producer: ProducerKey): Promise<bigint> {
  const rows = await query<{ highest: bigint; first: bigint | null }>(
    client,
    `select c.highest, min(g.first) as first
       from producer_cursor c left join producer_gap g using (region, producer, boot)
      where region = $1 and producer = $2 and boot = $3
      group by c.highest`,
    keyValues(producer),
  );
  const row = rows[0];
  if (row === undefined) return 0n;
  return watermarkOf({
    highest: row.highest,
    gaps: row.first === null ? [] : [{ first: row.first, last: row.highest }],
  });
}

/** Ranges that have been missing since before `before`, oldest first, at most 100: what an alarm is made of. */
export async function listMissing(client: Pool | PoolClient, before: Date): Promise<MissingRange[]> {
  return await query<MissingRange & Record<string, unknown>>(
    client,
    `select region, producer, boot, first, last, since from producer_gap
      where since < $1 order by since, region, producer, boot, first limit 100`,
    [before],
  );
}

async function advanceOne(client: PoolClient, key: ProducerKey, positions: readonly Position[]): Promise<void> {
  if (await follow(client, key, positions)) return;
  // The insert makes the row exist and the update locks it: one intake at a time changes a producer's gaps.
  const cursors = await query<{ highest: bigint }>(
    client,
    `insert into producer_cursor (region, producer, boot, highest) values ($1, $2, $3, 0)
     on conflict (region, producer, boot) do update set updated_at = now() returning highest`,
    keyValues(key),
  );
  const gaps = await query<{ first: bigint; last: bigint }>(
    client,
    "select first, last from producer_gap where region = $1 and producer = $2 and boot = $3 order by first",
    keyValues(key),
  );
  const before: Sequence = { ...EMPTY_SEQUENCE, highest: cursors[0]?.highest ?? 0n, gaps };
  const after = takeIn(
    before,
    positions.map(({ seq }) => seq),
  );
  if (after.highest !== before.highest) {
    await query(client, "update producer_cursor set highest = $4 where region = $1 and producer = $2 and boot = $3", [
      ...keyValues(key),
      after.highest,
    ]);
  }
  await replaceGaps(client, key, before, after);
}

/**
 * Nearly always the numbers go on, one after the other, from the highest: then one statement does it, and no gap changes. The row is
 * looked at when its lock is had, so that an intake that waits for another one goes on from there. False when it is otherwise.
 */
async function follow(client: PoolClient, key: ProducerKey, positions: readonly Position[]): Promise<boolean> {
  const first = positions[0]!.seq;
  if (positions.some(({ seq }, index) => seq !== first + BigInt(index))) return false;
  const rows = await query(
    client,
    `update producer_cursor set highest = $5, updated_at = now()
      where region = $1 and producer = $2 and boot = $3 and highest = $4 returning 1`,
    [...keyValues(key), first - 1n, first - 1n + BigInt(positions.length)],
  );
  return rows.length > 0;
}

async function replaceGaps(client: PoolClient, key: ProducerKey, before: Sequence, after: Sequence): Promise<void> {
  const same = (a: Gap, b: Gap): boolean => a.first === b.first && a.last === b.last;
  const gone = before.gaps.filter((gap) => !after.gaps.some((other) => same(gap, other)));
  const made = after.gaps.filter((gap) => !before.gaps.some((other) => same(gap, other)));
  // What is left of a gap is as old as the gap was, else a gap that shrinks for ever would never raise an alarm.
  const since = gone.length === 0 ? null : await removeGaps(client, key, gone);
  if (made.length === 0) return;
  await query(
    client,
    `insert into producer_gap (region, producer, boot, first, last, since)
     select $1, $2, $3, first, last, case when first <= $6 then $7::timestamptz else now() end
       from unnest($4::bigint[], $5::bigint[]) as gap (first, last)`,
    [...keyValues(key), made.map((gap) => gap.first), made.map((gap) => gap.last), before.highest, since],
  );
}

async function removeGaps(client: PoolClient, key: ProducerKey, gone: readonly Gap[]): Promise<Date> {
  const rows = await query<{ since: Date }>(
    client,
    `delete from producer_gap where region = $1 and producer = $2 and boot = $3 and first = any($4::bigint[])
     returning since`,
    [...keyValues(key), gone.map((gap) => gap.first)],
  );
  return new Date(Math.min(...rows.map(({ since }) => since.getTime())));
}

function groupByProducer(positions: readonly Position[]): Map<string, Position[]> {
  return Map.groupBy(positions, ({ region, producer, boot }) => JSON.stringify([region, producer, boot]));
}

function keyValues({ region, producer, boot }: ProducerKey): string[] {
  return [region, producer, boot];
}
