import type { Denial } from "../admission/admission.ts";
import type { AttemptOutcome, Outcome } from "./outcome.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

/** Where every call that begins leaves its one outcome. Made by `openAccounting`. */
export interface Accounting {
  /**
   * Writes that a call begins, with one `writeSync`; call it right before dispatch. Throws SPOOL_FULL when there is no room
   * for its outcome too: then the call must not be made.
   */
  begin(started: StartedCall): OpenCall;
  /** Counts a refusal of a known key; without a caller it writes nothing. Never throws. */
  refused(denial: Denial, nowMs: number): void;
  /** Writes what is counted, ships what it can until `deadlineMs` from now, and closes. What is left is shipped after the next start. */
  close(deadlineMs: number): Promise<void>;
}

/** A call that has begun and must be settled exactly once, also when everything fails. */
export interface OpenCall {
  readonly eventId: string;
  /**
   * Notes that a further target is tried, so that a successor bills it too; `earlier` are the attempts that have ended. For
   * the first target nothing is written, since `begin` implies it. Never throws.
   */
  attemptStarted(target: BilledTarget, startedAtMs: number, earlier: readonly AttemptOutcome[]): void;
  /**
   * Writes what came of it, with one `writeSync`. Throws INTERNAL when it was settled before. Returns what was billed, so
   * that a surface can say it.
   */
  settle(outcome: Outcome): SettledCall;
}

/** What a settled call is billed. */
export interface SettledCall {
  /** Sum of all lines of all attempts. */
  readonly costNanos: bigint;
}
