import { hashLeaf } from "../merkle/hash.ts";
import { parseTlogProof } from "../merkle/tlog-proof.ts";
import { isIncluded } from "../merkle/verify.ts";
import { attempt, openCheckpoint, type Trust } from "./trusted-checkpoint.ts";
import { type Proven, Refusal, toVerdict, type Verdict } from "./verdict.ts";

/** A record with its receipt. */
export interface RecordProof {
  /** The record's bytes as they were logged. */
  readonly record: Uint8Array;
  /** The content of its `.tlog-proof` file. */
  readonly proof: Uint8Array;
}

/**
 * Verifies offline that a record is in a log: the proof's checkpoint is signed by the log, and its hashes lead from exactly these
 * bytes at exactly this index to the signed root. Throws only for what is broken in the verifier itself.
 */
export async function verifyRecord({ record, proof }: RecordProof, trust: Trust): Promise<Verdict> {
  return await toVerdict((): Proven => {
    const { index, hashes, checkpoint: note, extra } = attempt("MALFORMED", () => parseTlogProof(proof));
    // Nothing signs extra data, so a receipt that has some could say anything in it.
    if (extra) throw new Refusal("MALFORMED", "Cannot trust proof: it carries data that nothing signs");
    const { origin, size, root } = openCheckpoint(note, trust);
    if (!isIncluded({ leafHash: hashLeaf(record), index, size, root, proof: hashes })) {
      throw new Refusal("CHANGED", `Cannot prove record ${index}: it does not lead to the root of ${size} records`, {
        index,
      });
    }
    return { kind: "proven", origin, size, root, checkpoints: 1 };
  });
}
