import { createHash } from "node:crypto";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import type { Position } from "../../shared/database/watermark.ts";

/** Something that came and can never be logged. */
export interface UnfitFact {
  /** What it counts as in its producer's row: one, or none when nobody can tell. A message that is no batch stands for all that are in it. */
  readonly positions: readonly Position[];
  /** Why, for machines: one of a short list. */
  readonly reason: "MALFORMED" | "FOREIGN_REGION" | "MISMATCH" | "CONFLICT" | "REFUSED";
  /** Why, for people. */
  readonly detail: string;
  /** As it came. */
  readonly payload: Uint8Array;
}

/** Keeps facts that can never be logged, once each. Returns the reasons of those that are new. */
export async function insertParked(client: PoolClient, facts: readonly UnfitFact[]): Promise<UnfitFact["reason"][]> {
  if (facts.length === 0) return [];
  const rows = await query<Pick<UnfitFact, "reason">>(
    client,
    `insert into parked (digest, region, producer, boot, seq, reason, detail, payload)
     select * from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bytea[])
     on conflict (digest) do nothing returning reason`,
    [
      facts.map(({ payload }) => createHash("sha256").update(payload).digest()),
      facts.map(({ positions }) => positions[0]?.region ?? null),
      facts.map(({ positions }) => positions[0]?.producer ?? null),
      facts.map(({ positions }) => positions[0]?.boot ?? null),
      facts.map(({ positions }) => positions[0]?.seq ?? null),
      facts.map(({ reason }) => reason),
      facts.map(({ detail }) => detail),
      facts.map(({ payload }) => Buffer.from(payload)),
    ],
  );
  return rows.map(({ reason }) => reason);
}

/** How many facts are parked: an operator should look at each. Counting ends at 10,000. */
export async function countParked(pool: Pool): Promise<number> {
  const rows = await query<{ count: bigint }>(
    pool,
    "select count(*) as count from (select 1 from parked limit 10000) as bounded",
  );
  return Number(rows[0]?.count ?? 0n);
}
