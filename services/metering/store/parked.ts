import { createHash } from "node:crypto";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import type { Position } from "../../shared/database/watermark.ts";
import type { Unpostable } from "../rating/check-usage.ts";

/** A fact that cannot be posted, as it came. */
export interface ParkedFact {
  readonly why: Unpostable;
  readonly fact: Uint8Array;
  /** Region whose stream it came from. */
  readonly region: string;
  /** Where it stands among its producer's facts, when that can be told. */
  readonly position?: Position;
  /** What it says its id is. */
  readonly eventId?: string;
}

/** Parks facts; returns those that were not parked before. */
export async function insertParked(client: PoolClient, facts: readonly ParkedFact[]): Promise<ParkedFact[]> {
  if (facts.length === 0) return [];
  // In one order, so that two intakes of the same facts cannot wait for each other in a circle.
  const named = facts.map((fact) => [digestOf(fact), fact] as const);
  const byDigest = new Map(named.sort(([left], [right]) => (left < right ? -1 : 1)));
  const parked = [...byDigest.values()];
  const rows = await query<{ digest: Buffer }>(
    client,
    `insert into parked_fact (digest, kind, detail, region, producer, boot, seq, event_id, fact)
     select * from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
       $9::bytea[])
     on conflict (digest) do nothing returning digest`,
    [
      [...byDigest.keys()].map((digest) => Buffer.from(digest, "hex")),
      parked.map(({ why }) => why.kind),
      parked.map(({ why }) => storable(why.detail)),
      parked.map(({ region }) => region),
      parked.map(({ position }) => position?.producer ?? null),
      parked.map(({ position }) => position?.boot ?? null),
      parked.map(({ position }) => position?.seq ?? null),
      parked.map(({ eventId }) => (eventId === undefined ? null : storable(eventId))),
      parked.map(({ fact }) => Buffer.from(fact)),
    ],
  );
  return rows.flatMap(({ digest }) => byDigest.get(digest.toString("hex")) ?? []);
}

/** How many facts are parked; counting ends at 10,000. */
export async function countParked(pool: Pool): Promise<number> {
  const rows = await query<{ count: bigint }>(
    pool,
    "select count(*) as count from (select 1 from parked_fact limit 10000) as bounded",
  );
  return Number(rows[0]?.count ?? 0n);
}

function digestOf({ fact, region }: ParkedFact): string {
  return createHash("sha256").update(region).update("\0").update(fact).digest("hex");
}

// Words about a fact that may quote it, for PostgreSQL's text: no NUL, and not as long as whoever wrote the fact likes.
function storable(text: string): string {
  return text.replaceAll("\0", "\u2400").slice(0, 1_000);
}
