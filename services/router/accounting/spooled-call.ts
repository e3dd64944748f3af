import { WeirError } from "../../shared/errors/weir-error.ts";
import type { CallListener, OpenCall, SettledCall } from "./accounting.ts";
import { encodeAttemptNote, findTargetIndex } from "./attempt-note.ts";
import { sumCostNanos, toAttempt } from "./attempts.ts";
import { writeCallFacts } from "./call-facts.ts";
import type { AttemptOutcome, Outcome } from "./outcome.ts";
import type { EncodedProducer } from "./producer.ts";
import type { OpenEntry, Spool, SpooledEntry } from "./spool.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";
import { writeStarted } from "./started-frame.ts";
import type { WireWriter } from "./wire-writer.ts";

/** Set aside for what a call comes to: usage and record tell caller and candidates about as long as STARTED does, and … */
const OUTCOME_BYTES = 1024;
/** … each attempt in both. */
const ATTEMPT_BYTES = 1024;
/** More attempts than these are not set aside for, though each is written. */
const ATTEMPTS_EXPECTED = 4;

/** What all calls of a router share. */
export interface CallSpool {
  readonly spool: Spool;
  readonly producer: EncodedProducer;
  /** Called when facts are there to be shipped. */
  onFacts(): void;
}

/**
 * A call in the spool. States: begun (or left open by a dead router), then settled. If the process dies in the first, its
 * successor settles it from the spool.
 */
export class SpooledCall implements OpenCall, SpooledEntry {
  readonly #started: StartedCall;
  readonly #shared: CallSpool;
  /** Absent for a call of a dead router: nobody waits for it. */
  readonly #listener: CallListener | undefined;
  #open: OpenEntry | undefined;
  /** Whether it is on disk that it begins, or why it is not. */
  #hasBegun = false;
  #refusal: WeirError | undefined;
  #attempt: Uint8Array | undefined;
  #outcome: Outcome | undefined;

  constructor(started: StartedCall, shared: CallSpool, listener?: CallListener) {
    this.#started = started;
    this.#shared = shared;
    this.#listener = listener;
  }

  get eventId(): string {
    return this.#started.eventId;
  }

  get attempt(): Uint8Array | undefined {
    return this.#attempt;
  }

  /** Has the spool take that it begins. Throws SPOOL_FULL. A call that a dead router has begun is settled without it. */
  begin(): void {
    this.#open = this.#shared.spool.begin(this);
  }

  ensureBegun(): void {
    if (!this.#hasBegun) this.#shared.spool.flush();
    if (this.#refusal !== undefined) throw this.#refusal;
  }

  attemptStarted(target: BilledTarget, startedAtMs: number, earlier: readonly AttemptOutcome[]): void {
    const isFirst = earlier.length === 0 && this.#started.candidates[0]?.target === target;
    if (isFirst || this.#open === undefined || this.#outcome !== undefined) return;
    const targetIndex = findTargetIndex(this.#started, target);
    if (targetIndex <= 0 && earlier.length === 0) return;
    this.#attempt = encodeAttemptNote({ targetIndex, startedAtMs, earlier }, this.#started);
    this.#shared.spool.note(this.#open);
  }

  settle(outcome: Outcome): SettledCall {
    if (this.#outcome !== undefined) {
      throw new WeirError("INTERNAL", `Cannot settle call "${this.eventId}": it is settled already`, {
        facts: { event_id: this.eventId },
      });
    }
    this.#outcome = outcome;
    this.#shared.spool.settle(this, this.#open);
    return new Settled(this.#started, outcome);
  }

  onBegun(): void {
    this.#hasBegun = true;
  }

  onRefused(error: WeirError): void {
    this.#refusal = error;
    this.#listener?.onRefused(error);
  }

  onTaken(): void {
    this.#shared.onFacts();
    this.#listener?.onSettled();
  }

  writeStarted(writer: WireWriter): void {
    writeStarted(writer, this.#started);
  }

  outcomeBytes(startedBytes: number): number {
    const attempts = Math.min(this.#started.candidates.length, ATTEMPTS_EXPECTED);
    return 2 * startedBytes + OUTCOME_BYTES + attempts * ATTEMPT_BYTES;
  }

  writeFacts(writer: WireWriter, usageSeq: number, recordSeq: number): void {
    if (this.#outcome === undefined)
      throw new WeirError("INTERNAL", `Cannot settle call "${this.eventId}": no outcome`);
    writeCallFacts(writer, this.#started, this.#outcome, this.#shared.producer, usageSeq, recordSeq);
  }
}

/** Most callers do not ask what it came to, so it is added up for those who do. */
class Settled implements SettledCall {
  readonly #started: StartedCall;
  readonly #outcome: Outcome;

  constructor(started: StartedCall, outcome: Outcome) {
    this.#started = started;
    this.#outcome = outcome;
  }

  get costNanos(): bigint {
    return sumCostNanos(this.#outcome.attempts.map((attempt) => toAttempt(this.#started, attempt)));
  }
}
