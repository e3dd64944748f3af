import type { WeirError } from "../../shared/errors/weir-error.ts";
import type { Denial } from "../admission/admission.ts";
import type { AttemptOutcome, Outcome } from "./outcome.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

/** Where every call that begins leaves its one outcome. Made by `openAccounting`. */
export interface Accounting {
  /**
   * Takes that a call begins. It is written at the end of this turn of the event loop, together with all that other calls left in
   * it; nothing of the call may be sent before `ensureBegun` has returned. Throws SPOOL_FULL when there is no room for its
   * outcome too: then the call must not be made.
   */
  begin(started: StartedCall, listener: CallListener): OpenCall;
  /** Counts a refusal of a known key; without a caller it writes nothing. Never throws. */
  refused(denial: Denial, nowMs: number): void;
  /** Writes what is counted, ships what it can until `deadlineMs` from now, and closes. What is left is shipped after the next start. */
  close(deadlineMs: number): Promise<void>;
}

/** Hears how a call stands in the spool. */
export interface CallListener {
  /**
   * The disk did not take that it begins: the call must not be made. Comes at most once, after `begin` returned. Unless it was settled
   * before, it is not to be settled.
   */
  onRefused(error: WeirError): void;
  /** Comes once after `settle`. Its outcome is safe from the end of this process: its answer may end. While the disk fails it waits in memory. */
  onSettled(): void;
}

/** A call that has begun and must be settled exactly once, also when everything fails. */
export interface OpenCall {
  readonly eventId: string;
  /**
   * Sees to it that its beginning has left this process, by a write of its own if it has not. Throws SPOOL_FULL when the disk did not
   * take it; `onRefused` was told then.
   */
  ensureBegun(): void;
  /**
   * Notes that a further target is tried, so that a successor bills it too; `earlier` are the attempts that have ended. For
   * the first target nothing is written, since `begin` implies it. Never throws.
   */
  attemptStarted(target: BilledTarget, startedAtMs: number, earlier: readonly AttemptOutcome[]): void;
  /**
   * Takes what came of it, to be written like its beginning. Throws INTERNAL when it was settled before. Returns what was
   * billed, so that a surface can say it.
   */
  settle(outcome: Outcome): SettledCall;
}

/** What a settled call is billed. */
export interface SettledCall {
  /** Sum of all lines of all attempts. */
  readonly costNanos: bigint;
}
