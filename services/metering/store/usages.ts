import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  boolArray,
  byteaArray,
  int2Array,
  int8Array,
  textArray,
  timestamptzArray,
  uuidArray,
} from "../../shared/database/arrays.ts";
import { type Pool, type PoolClient, query } from "../../shared/database/pool.ts";
import { transaction } from "../../shared/database/transaction.ts";
import { advance, type Position } from "../../shared/database/watermark.ts";
import type { Posting } from "../ledger/posting.ts";
import { rollUp } from "../ledger/roll-up.ts";
import type { RatedUsage } from "../rating/rate.ts";
import { insertEntries } from "./ledger.ts";
import { insertParked, type ParkedFact } from "./parked.ts";
import { addSpend } from "./spend.ts";

/** A usage that may be posted. */
export interface PostableUsage {
  readonly rated: RatedUsage;
  /** Undefined when it costs nothing. */
  readonly posting: Posting | undefined;
  /** The bytes as they came. */
  readonly fact: Uint8Array;
}

/** What goes in together, or not at all. */
export interface Intake {
  readonly usages: readonly PostableUsage[];
  readonly parked: readonly ParkedFact[];
  /** What all of these count as. */
  readonly positions: readonly Position[];
}

/** What went in. */
export interface TakenIn {
  readonly posted: readonly RatedUsage[];
  /** Usages that were in before. */
  readonly repeated: number;
  /** Facts that were not parked before. */
  readonly parked: readonly ParkedFact[];
}

/**
 * Takes in usages: usage rows, ledger entries, spend, parked facts and watermark in one transaction. A usage that is in already
 * changes nothing; one that says something else than the one that is in is parked, since one of the two is wrong about
 * money. Throws ARGUMENT_INVALID when PostgreSQL refuses one of them, and then none is in.
 */
export async function commitIntake(pool: Pool, intake: Intake, signal?: AbortSignal): Promise<TakenIn> {
  return await transaction(
    pool,
    async (client) => {
      const first = new Map<string, PostableUsage>();
      for (const usage of intake.usages) {
        if (!first.has(usage.rated.usage.eventId)) first.set(usage.rated.usage.eventId, usage);
      }
      // In the order of their ids: two intakes of the same usages wait for each other in one direction only.
      const ordered = [...first.values()].sort((left, right) =>
        left.rated.usage.eventId < right.rated.usage.eventId ? -1 : 1,
      );
      const posted = await insertUsages(client, ordered);
      const isPosted = new Set(posted);
      const repeats = intake.usages.filter((usage) => !isPosted.has(usage));
      // Sent together, in this order: rows of spend, and the cursor above all, are what other intakes wait for.
      const [contradictions] = await Promise.all([
        findContradictions(client, repeats),
        insertEntries(
          client,
          posted.flatMap(({ posting }) => posting ?? []),
        ),
        addSpend(client, rollUp(posted.map(({ rated }) => rated))),
        ...(intake.parked.length + repeats.length === 0 ? [advance(client, intake.positions)] : []),
      ]);
      const parked = await insertParked(client, [...intake.parked, ...contradictions]);
      if (intake.parked.length + repeats.length > 0) await advance(client, intake.positions);
      return {
        posted: posted.map(({ rated }) => rated),
        repeated: repeats.length - contradictions.length,
        parked,
      };
    },
    signal === undefined ? {} : { signal },
  );
}

// Returns those that were not in before.
async function insertUsages(client: PoolClient, usages: readonly PostableUsage[]): Promise<readonly PostableUsage[]> {
  if (usages.length === 0) return [];
  const rows = await query<{ count: bigint; ids: string[] | null }>(
    client,
    `with fresh as (
       insert into usage (event_id, region, producer, boot, seq, organisation, team, app, environment, key, run_id, operation,
         model, outcome, snapshot_version, keyring_version, started_at, ended_at, cost_nanos, said_nanos, mismatched, fact)
       select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
         $9::text[], $10::text[], $11::text[], $12::smallint[], $13::text[], $14::smallint[], $15::bigint[], $16::bigint[],
         $17::timestamptz[], $18::timestamptz[], $19::bigint[], $20::bigint[], $21::boolean[], $22::bytea[])
       on conflict (event_id) do nothing returning event_id)
     select count(*) as count, case when count(*) < $23::bigint then array_agg(event_id::text) end as ids from fresh`,
    [
      uuidArray(usages, ({ rated }) => rated.usage.eventId),
      textArray(usages, ({ rated }) => rated.usage.producer?.region ?? ""),
      textArray(usages, ({ rated }) => rated.usage.producer?.instance ?? ""),
      textArray(usages, ({ rated }) => rated.usage.producer?.boot ?? ""),
      int8Array(usages, ({ rated }) => rated.usage.producer?.seq ?? 0n),
      textArray(usages, ({ rated }) => rated.usage.caller?.organisation ?? ""),
      textArray(usages, ({ rated }) => rated.usage.caller?.team ?? ""),
      textArray(usages, ({ rated }) => rated.usage.caller?.app ?? ""),
      textArray(usages, ({ rated }) => rated.usage.caller?.environment ?? ""),
      textArray(usages, ({ rated }) => rated.usage.caller?.identity.value ?? ""),
      textArray(usages, ({ rated }) => rated.usage.caller?.runId ?? ""),
      int2Array(usages, ({ rated }) => rated.usage.operation),
      textArray(usages, ({ rated }) => rated.usage.model),
      int2Array(usages, ({ rated }) => rated.usage.outcome),
      int8Array(usages, ({ rated }) => rated.usage.versions?.snapshotVersion ?? 0n),
      int8Array(usages, ({ rated }) => rated.usage.versions?.keyringVersion ?? 0n),
      timestamptzArray(usages, ({ rated }) => toMs(rated.usage.startedAt)),
      timestamptzArray(usages, ({ rated }) => toMs(rated.usage.endedAt)),
      int8Array(usages, ({ rated }) => rated.costNanos),
      int8Array(usages, ({ rated }) => rated.saidNanos),
      boolArray(usages, ({ rated }) => rated.mismatched),
      byteaArray(usages, ({ fact }) => fact),
      usages.length,
    ],
  );
  const [row] = rows;
  // Almost always all of them are new, and nothing need be told of each.
  if (row?.count === BigInt(usages.length)) return usages;
  const fresh = new Set(row?.ids ?? []);
  return usages.filter(({ rated }) => fresh.has(rated.usage.eventId));
}

// A repeat is the same call with the same end and the same cost. Seq and boot may differ: a successor settles a dead router's calls.
async function findContradictions(client: PoolClient, repeats: readonly PostableUsage[]): Promise<ParkedFact[]> {
  if (repeats.length === 0) return [];
  const rows = await query<{ event_id: string; outcome: number; cost_nanos: bigint; said_nanos: bigint }>(
    client,
    "select event_id, outcome, cost_nanos, said_nanos from usage where event_id = any($1::uuid[])",
    [repeats.map(({ rated }) => rated.usage.eventId)],
  );
  const known = new Map(rows.map((row) => [row.event_id, row]));
  return repeats.flatMap(({ rated, fact }) => {
    const { eventId, outcome, producer } = rated.usage;
    const row = known.get(eventId);
    if (row === undefined) return [];
    if (row.outcome === outcome && row.cost_nanos === rated.costNanos && row.said_nanos === rated.saidNanos) return [];
    const detail = `outcome ${outcome} and ${rated.costNanos} nano-dollars; outcome ${row.outcome} and ${row.cost_nanos} are posted`;
    return [
      {
        why: { kind: "CONTRADICTION", detail },
        fact,
        region: producer?.region ?? "",
        eventId,
        ...(producer === undefined
          ? {}
          : {
              position: {
                region: producer.region,
                producer: producer.instance,
                boot: producer.boot,
                seq: producer.seq,
              },
            }),
      } satisfies ParkedFact,
    ];
  });
}

function toMs(timestamp: Timestamp | undefined): number {
  return Number(timestamp?.seconds ?? 0n) * 1_000 + Math.floor((timestamp?.nanos ?? 0) / 1_000_000);
}
