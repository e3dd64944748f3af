import { WeirError } from "../../shared/errors/weir-error.ts";
import type { OpenCall, SettledCall } from "./accounting.ts";
import { encodeAttemptNote, findTargetIndex } from "./attempt-note.ts";
import type { AttemptOutcome, Outcome } from "./outcome.ts";
import type { Spool } from "./spool.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

/** States of a call here: begun, then settled. If the process dies in the first, its successor settles it from the spool. */
export class SpooledCall implements OpenCall {
  readonly #started: StartedCall;
  readonly #spool: Spool;
  readonly #write: (outcome: Outcome) => SettledCall;
  #isSettled = false;

  constructor(started: StartedCall, spool: Spool, write: (outcome: Outcome) => SettledCall) {
    this.#started = started;
    this.#spool = spool;
    this.#write = write;
  }

  get eventId(): string {
    return this.#started.eventId;
  }

  attemptStarted(target: BilledTarget, startedAtMs: number, earlier: readonly AttemptOutcome[]): void {
    const targetIndex = findTargetIndex(this.#started, target);
    if (this.#isSettled || (targetIndex <= 0 && earlier.length === 0)) return;
    this.#spool.note(this.eventId, encodeAttemptNote({ targetIndex, startedAtMs, earlier }, this.#started));
  }

  settle(outcome: Outcome): SettledCall {
    if (this.#isSettled) {
      throw new WeirError("INTERNAL", `Cannot settle call "${this.eventId}": it is settled already`, {
        facts: { event_id: this.eventId },
      });
    }
    this.#isSettled = true;
    return this.#write(outcome);
  }
}
