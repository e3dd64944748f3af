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
 * the end, and the tree has the root of the last checkpoint. Throws PROOF_REFUSED when a tail was cut off or the past was
 * changed: then nothing must be sequenced or signed until a person has looked.
 */
export async function checkStoredLog(pool: Pool, lead: Lead, identity: LogIdentity): Promise<Checkpoint | undefined> {
  return await writeLog(pool, lead, async (client, state) => {
    const last = await findLastIndex(client);
    const stored = last === undefined ? 0n : last + 1n;
    if (stored !== state.sequenced) {
      throw refuse(`${state.sequenced} records were sequenced, ${stored} are stored`);
    }
    const latest = await findLatestCheckpoint(client);
    if (latest === undefined) return undefined;
    const checkpoint = readStoredCheckpoint(latest, identity);
    await checkRoot(client, state, checkpoint);
    return checkpoint;
  });
}

/** Reads a checkpoint from its row, believing its signature only. Throws PROOF_REFUSED when the row was changed. */
export function readStoredCheckpoint(stored: StoredCheckpoint, identity: LogIdentity): Checkpoint {
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
