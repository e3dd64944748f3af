/** What is wrong with something that was to be proven. */
export type Fault =
  /** It has not the form it should have, byte for byte: it was changed, or made by something else. */
  | "MALFORMED"
  /** No trusted key of this log signed it, or a signature is wrong. */
  | "UNTRUSTED"
  /** A record, or one of a range of records, is not the one that was signed. */
  | "CHANGED"
  /** A record is not where it should be: left out, moved, or cut off at the end. */
  | "MISSING"
  /** Records stand behind the last checkpoint: nobody has signed them. */
  | "UNPROVEN"
  /** Two signed checkpoints cannot both be of one log that only grew. */
  | "INCONSISTENT";

/** All was as it was signed. */
export interface Proven {
  readonly kind: "proven";
  /** The log that it belongs to. */
  readonly origin: string;
  /** Records of the log at the last checkpoint that was checked. */
  readonly size: bigint;
  /** Their root: whoever has the same root for this size has the same records. */
  readonly root: Uint8Array;
  /** How many checkpoints were checked. */
  readonly checkpoints: number;
}

/** Something was not as it was signed. */
export interface Refused {
  readonly kind: "refused";
  readonly fault: Fault;
  /** For people: what was looked at, and what is wrong with it. */
  readonly message: string;
  /** First record that is not proven; absent when no record is at fault. */
  readonly index?: bigint;
  /** Where the range of possible culprits ends, exclusive; absent when `index` is the one. */
  readonly end?: bigint;
}

/** What a verifier says. */
export type Verdict = Proven | Refused;

/** A verdict on its way out of the code that found it. Stays within this room. */
export class Refusal extends Error {
  readonly verdict: Refused;

  constructor(fault: Fault, message: string, place: { index?: bigint; end?: bigint } = {}) {
    super(message);
    this.verdict = { kind: "refused", fault, message, ...place };
  }
}

/** Runs a check and turns its refusal into a verdict. Anything else that goes wrong stays an error. */
export async function toVerdict(check: () => Promise<Proven> | Proven): Promise<Verdict> {
  try {
    return await check();
  } catch (error) {
    if (error instanceof Refusal) return error.verdict;
    throw error;
  }
}
