import type { Clock } from "../../shared/clock.ts";
import type { Listed } from "../../shared/open-list.ts";
import type { Deadlines } from "./read-body.ts";

/**
 * How often a stream is looked at. One that was silent since the last look gets a sign of life, so that none is silent for more than twice
 * this: below the 15 s after which the first proxies and clients begin to doubt.
 */
const LOOK_MS = 7_000;

/** Hears of silence. */
export interface SilenceListener {
  onSilence(): void;
}

/** Sees to it that an open stream is not silent for long. To note that something was sent costs an assignment. */
export class KeepAlive implements Listed {
  readonly #deadlines: Deadlines;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #listener: SilenceListener;
  /** To be set with each piece that is sent. */
  hasSent = false;
  deadlineMs: number;
  before: Listed | undefined;
  after: Listed | undefined;

  /** Begins to watch. */
  constructor(deadlines: Deadlines, clock: Pick<Clock, "monotonicMs">, listener: SilenceListener) {
    this.#deadlines = deadlines;
    this.#clock = clock;
    this.#listener = listener;
    this.deadlineMs = clock.monotonicMs() + LOOK_MS;
    deadlines.add(this);
  }

  onDeadline(): void {
    const wasSilent = !this.hasSent;
    this.hasSent = false;
    this.deadlineMs = this.#clock.monotonicMs() + LOOK_MS;
    this.#deadlines.add(this);
    if (wasSilent) this.#listener.onSilence();
  }

  /** Ends the watch. */
  stop(): void {
    this.#deadlines.remove(this);
  }
}
