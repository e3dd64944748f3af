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

/** Keeps facts that can never be logged, once each. Returns how many were new. */
export async function insertParked(client: PoolClient, facts: readonly UnfitFact[]): Promise<number> {
  let added = 0;
  for (const { positions, reason, detail, payload } of facts) {
    const [position] = positions;
    const rows = await query(
      client,
      `insert into parked (digest, region, producer, boot, seq, reason, detail, payload)
       values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (digest) do nothing returning 1`,
      [
        createHash("sha256").update(payload).digest(),
        position?.region ?? null,
        position?.producer ?? null,
        position?.boot ?? null,
        position?.seq ?? null,
        reason,
        detail,
        Buffer.from(payload),
      ],
    );
    added += rows.length;
  }
  return added;
}

/** How many facts are parked: an operator should look at each. Counting ends at 10,000. */
export async function countParked(pool: Pool): Promise<number> {
  const rows = await query<{ count: bigint }>(
    pool,
    "select count(*) as count from (select 1 from parked limit 10000) as bounded",
  );
  return Number(rows[0]?.count ?? 0n);
}
