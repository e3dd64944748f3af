import type { Pool, PoolClient } from "../../shared/database/pool.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { type NoteVerifier, openNote } from "../../shared/note/note.ts";
import { type Checkpoint, parseCheckpoint } from "../merkle/checkpoint.ts";
import { isSameHash } from "../merkle/hash.ts";
import { coverRange, joinCover } from "../merkle/tree.ts";
import { findLatestCheckpoint, type StoredCheckpoint } from "../store/checkpoints.ts";
import { type Lead, type LogState, writeLog } from "../store/log-state.ts";
import { findLastIndex } from "../store/records.ts";
import { readSubtrees } from "../store/subtrees.ts";

/** Whose checkpoints a log takes for its own. */
export interface LogIdentity {
  readonly origin: string;
  /** The log's own keys: the one it signs with, and older ones after a rotation. */
  readonly verifiers: readonly NoteVerifier[];
}

/**
 * Looks before anything is written whether the stored log is still the one that was signed: every counted record has its row at
 * the end, and the tree has the root of the last checkpoint, and that of `known`, the last one that this process has seen. Throws
 * PROOF_REFUSED when a tail was cut off, the past was changed or the database was set back: then nothing must be sequenced or signed
 * until a person has looked.
 */
export async function checkStoredLog(
  pool: Pool,
  lead: Lead,
  identity: LogIdentity,
  known?: Checkpoint,
): Promise<Checkpoint | undefined> {
  return await writeLog(pool, lead, async (client, state) => {
    const last = await findLastIndex(client);
    const stored = last === undefined ? 0n : last + 1n;
    if (stored !== state.sequenced) {
      throw refuse(`${state.sequenced} records were sequenced, ${stored} are stored`);
    }
    const checkpoint = await readLatestCheckpoint(client, identity, known);
    if (checkpoint !== undefined) await checkRoot(client, state, checkpoint);
    if (known !== undefined) await checkRoot(client, state, known);
    return checkpoint;
  });
}

/**
 * Reads the latest checkpoint; undefined before the first. Throws PROOF_REFUSED when its row was changed, and when it is behind `known`,
 * the last one that this process has seen: the database was set back under our feet.
 */
export async function readLatestCheckpoint(
  client: Pool | PoolClient,
  identity: LogIdentity,
  known: Checkpoint | undefined,
): Promise<Checkpoint | undefined> {
  const row = await findLatestCheckpoint(client);
  const latest = row && readStoredCheckpoint(row, identity);
  const size = latest?.size ?? 0n;
  if (known !== undefined && size < known.size) {
    throw refuse(`its last checkpoint is of ${size} records, one of ${known.size} was signed`);
  }
  return latest;
}

// Believes the signature only.
function readStoredCheckpoint(stored: StoredCheckpoint, identity: LogIdentity): Checkpoint {
  const checkpoint = parseCheckpoint(openNote(stored.note, identity.verifiers).text);
  if (checkpoint.origin !== identity.origin) throw refuse(`its last checkpoint is that of "${checkpoint.origin}"`);
  if (checkpoint.size !== stored.size || !isSameHash(checkpoint.root, stored.root)) {
    throw refuse(`its checkpoint of ${stored.size} differs from what was signed`);
  }
  return checkpoint;
}

async function checkRoot(client: PoolClient, state: LogState, checkpoint: Checkpoint): Promise<void> {
  if (state.integrated < checkpoint.size) {
    throw refuse(`its tree has ${state.integrated} records, its last checkpoint ${checkpoint.size}`);
  }
  const cover = coverRange(0n, checkpoint.size);
  const hashOf = await readSubtrees(client, cover);
  if (!isSameHash(joinCover(cover.map(hashOf)), checkpoint.root)) {
    throw refuse(`its tree of ${checkpoint.size} records has another root than was signed`);
  }
}

function refuse(state: string): WeirError {
  return new WeirError("PROOF_REFUSED", `Cannot trust stored log: ${state}`);
}
