import type { Clock } from "../../shared/clock.ts";
import { type Listed, OpenList } from "../../shared/open-list.ts";

/** Something with a deadline that it may move as it likes. */
export interface Watched extends Listed {
  /** Of the monotonic clock. Infinity for none. */
  deadlineMs: number;
  /** The deadline has passed. Called at most once after each {@link DeadlineSweep.add}; it is no longer watched then. */
  onDeadline(): void;
}

/**
 * Watches the deadlines of everything open with one timer: moving a deadline is an assignment, so it can be done for each
 * piece of a stream. A deadline is noticed up to one interval late.
 */
export class DeadlineSweep {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #intervalMs: number;
  readonly #watched = new OpenList<Watched>();
  #timer: NodeJS.Timeout | undefined;

  /** `intervalMs` is the time between two looks, default 20 ms; 0 for a test that calls `look` itself. */
  constructor(clock: Pick<Clock, "monotonicMs">, intervalMs = 20) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /** How many are watched. */
  get size(): number {
    return this.#watched.size;
  }

  add(watched: Watched): void {
    this.#watched.add(watched);
    if (this.#timer === undefined && this.#intervalMs > 0) {
      // What is watched keeps the process alive by its sockets, not by this timer.
      this.#timer = setInterval(() => this.look(), this.#intervalMs).unref();
    }
  }

  remove(watched: Watched): void {
    this.#watched.remove(watched);
  }

  /** Looks once at all deadlines. */
  look(): void {
    const nowMs = this.#clock.monotonicMs();
    // One whose deadline has passed may end others.
    for (const watched of this.#watched.list(({ deadlineMs }) => deadlineMs <= nowMs)) {
      if (this.#watched.remove(watched)) watched.onDeadline();
    }
    if (this.#watched.size === 0) this.close();
  }

  /** Stops the timer until something is added again. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
