import type { Clock } from "../../shared/clock.ts";
import type { Pool } from "../../shared/database/pool.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { type NoteSigner, openNote, signNote } from "../../shared/note/note.ts";
import { type Checkpoint, formatCheckpoint } from "../merkle/checkpoint.ts";
import { assembleProof, planConsistency } from "../merkle/proof.ts";
import { coverRange, joinCover } from "../merkle/tree.ts";
import { isConsistent } from "../merkle/verify.ts";
import { insertCheckpoint } from "../store/checkpoints.ts";
import { type Lead, writeLog } from "../store/log-state.ts";
import { readSubtrees } from "../store/subtrees.ts";
import { type LogIdentity, readLatestCheckpoint } from "./check.ts";

/** Who signs, for which log, and when. */
export interface SignOptions {
  readonly identity: LogIdentity;
  readonly signer: NoteSigner;
  readonly clock: Clock;
}

/**
 * Signs the stored tree when it has grown since the last checkpoint, and returns the new one; undefined when it has not grown.
 *
 * - *checked*: consistent with the last checkpoint, by the verifier's own algorithm. The process dies: nothing happened.
 * - *signed*: in memory only. The process dies: nobody has seen the signature, it never was.
 * - *persisted*: committed. Only now can anyone read it. The process dies: its successor continues from it.
 *
 * Throws PROOF_REFUSED, and signs nothing, when the stored tree is smaller than or inconsistent with the last checkpoint, or
 * when the database is behind `known`, the last one that this process has seen.
 */
export async function signCheckpoint(
  pool: Pool,
  lead: Lead,
  options: SignOptions,
  known: Checkpoint | undefined,
): Promise<Checkpoint | undefined> {
  const { identity, signer, clock } = options;
  return await writeLog(pool, lead, async (client, { integrated: size }) => {
    const last = await readLatestCheckpoint(client, identity, known);
    const first = last?.size ?? 0n;
    if (size < first) throw refuse(`the tree has ${size} records, the last checkpoint ${first}`);
    if (size === first) return undefined;
    const cover = coverRange(0n, size);
    const plan = planConsistency(first, size);
    const hashOf = await readSubtrees(client, [...cover, ...plan.flat()]);
    const root = joinCover(cover.map(hashOf));
    const proof = assembleProof(plan, hashOf);
    if (last && !isConsistent({ first, firstRoot: last.root, second: size, secondRoot: root, proof })) {
      throw refuse(`the tree of ${size} records does not continue the checkpoint of ${first}`);
    }
    const checkpoint = { origin: identity.origin, size, root };
    const note = signNote(formatCheckpoint(checkpoint), signer);
    // A key that does not match its own public half would lock every reader out, this log included.
    openNote(note, identity.verifiers);
    await insertCheckpoint(client, { size, root, note, signedAt: new Date(clock.nowMs()) });
    return checkpoint;
  });
}

function refuse(state: string): WeirError {
  return new WeirError("PROOF_REFUSED", `Cannot sign checkpoint: ${state}`);
}
