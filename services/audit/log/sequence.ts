import type { Pool } from "../../shared/database/pool.ts";
import { advance, type Position } from "../../shared/database/watermark.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { hashLeaf, isSameHash } from "../merkle/hash.ts";
import { type Lead, setSequenced, writeLog } from "../store/log-state.ts";
import { insertParked, type UnfitFact } from "../store/parked.ts";
import { findPlaced, insertRecords, type NewRecord } from "../store/records.ts";

/** A record as a producer said it. */
export interface SaidRecord {
  readonly recordId: string;
  readonly organisation: string;
  /** As the producer encoded it: what the leaf is over, and what is stored. */
  readonly record: Uint8Array;
  readonly position: Position;
  /** The whole fact as it came, to be parked when the record can't be logged. */
  readonly payload: Uint8Array;
}

/** What came of a batch. */
export interface Sequenced {
  /** Records that got a place. */
  readonly added: number;
  /** Records that had one. */
  readonly repeated: number;
  /** Why facts were parked: one for each that was not parked before. */
  readonly parked: readonly UnfitFact["reason"][];
}

/**
 * Gives each record that has none the next place in the log, and tells the producers' watermark: all in one transaction, so that
 * whatever the watermark covers is committed. Safe to repeat, in any order and any cut: an id keeps the place it got first. The
 * same id with other bytes is parked, never logged a second time and never put in place of the first.
 */
export async function sequence(
  pool: Pool,
  lead: Lead,
  said: readonly SaidRecord[],
  unfit: readonly UnfitFact[],
  signal?: AbortSignal,
): Promise<Sequenced> {
  try {
    return await sequenceOnce(pool, lead, said, unfit, signal);
  } catch (error) {
    if (!(error instanceof WeirError) || error.reason !== "ARGUMENT_INVALID" || said.length === 0) throw error;
    // PostgreSQL refuses something in this batch, and would for ever. Halving finds it, parks it and logs the rest.
    const [only, ...more] = said;
    if (only && more.length === 0) {
      const { position, payload } = only;
      const refused: UnfitFact = { positions: [position], reason: "REFUSED", detail: error.message, payload };
      return await sequenceOnce(pool, lead, [], [...unfit, refused], signal);
    }
    const middle = said.length >> 1;
    const first = await sequence(pool, lead, said.slice(0, middle), unfit, signal);
    const second = await sequence(pool, lead, said.slice(middle), [], signal);
    return {
      added: first.added + second.added,
      repeated: first.repeated + second.repeated,
      parked: [...first.parked, ...second.parked],
    };
  }
}

async function sequenceOnce(
  pool: Pool,
  lead: Lead,
  said: readonly SaidRecord[],
  unfit: readonly UnfitFact[],
  signal?: AbortSignal,
): Promise<Sequenced> {
  const positions = [...said.map(({ position }) => position), ...unfit.flatMap((fact) => fact.positions)];
  return await writeLog(
    pool,
    lead,
    async (client, state) => {
      const placed = await findPlaced(
        client,
        said.map(({ recordId }) => recordId),
      );
      const { fresh, conflicts, repeated } = sort(said, placed);
      const sequenced = state.sequenced + BigInt(fresh.length);
      // Sent together: whoever writes next waits for the state.
      await Promise.all([
        insertRecords(client, state.sequenced, fresh),
        ...(fresh.length > 0 ? [setSequenced(client, sequenced)] : []),
        ...(unfit.length + conflicts.length === 0 ? [advance(client, positions)] : []),
      ]);
      const parked = await insertParked(client, [...unfit, ...conflicts]);
      if (unfit.length + conflicts.length > 0) await advance(client, positions);
      return { added: fresh.length, repeated, parked };
    },
    signal,
  );
}

/** Tells new records from repeats and conflicts, given the leaf hashes of those that have a place. */
function sort(said: readonly SaidRecord[], placed: ReadonlyMap<string, Uint8Array | null>) {
  const known = new Map(placed);
  const fresh: NewRecord[] = [];
  const conflicts: UnfitFact[] = [];
  let repeated = 0;
  for (const one of said) {
    const { recordId, organisation, record, position } = one;
    const leafHash = hashLeaf(record);
    const before = known.get(recordId);
    if (before === undefined) {
      known.set(recordId, leafHash);
      fresh.push({ recordId, organisation, record, leafHash });
    } else if (before === null || isSameHash(before, leafHash)) {
      // A record whose range was detached can only be taken for a repeat.
      repeated++;
    } else {
      const detail = `the record "${recordId}" is in the log with other bytes`;
      conflicts.push({ positions: [position], reason: "CONFLICT", detail, payload: one.payload });
    }
  }
  return { fresh, conflicts, repeated };
}
