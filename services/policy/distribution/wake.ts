import type { Clock } from "../../shared/clock.ts";
import type { Catalogue } from "./catalogue.ts";

/** So many watchers are woken in a turn of the event loop: what each does then takes about a tenth of a millisecond. */
const EACH_TURN = 16;
/** How exactly a time is kept that a watcher waits for. */
const TICK_MS = 100;

/** One who waits. */
interface Waiting {
  readonly untilMs: number;
  readonly wake: () => void;
}

/**
 * Wakes those who wait for a change, or for a time: a few in each turn of the event loop, since a thousand who do something at once hold
 * it up. One timer for all of them, for that many timers and signals cost more than what they wait for.
 */
export class Wakes {
  readonly #catalogue: Pick<Catalogue, "changed">;
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();
  readonly #due = new Set<Waiting>();
  #isWaking = false;
  #isTicking = false;
  #heard: Promise<void> | undefined;

  constructor(catalogue: Pick<Catalogue, "changed">, clock: Clock) {
    this.#catalogue = catalogue;
    this.#clock = clock;
  }

  /**
   * Resolves when something changed, at an instant of the monotonic clock, or when the waiter is let go; never rejects. Who looks at the
   * catalogue and then calls it without a pause between misses no change.
   */
  wait(untilMs: number, waiter: Waiter): Promise<void> {
    this.#listen();
    return new Promise((resolve) => {
      const waiting: Waiting = {
        untilMs,
        wake: () => {
          this.#waiting.delete(waiting);
          waiter.letGo = NOTHING;
          resolve();
        },
      };
      waiter.letGo = waiting.wake;
      this.#waiting.add(waiting);
      if (!this.#isTicking) void this.#tick();
    });
  }

  #listen(): void {
    const { changed } = this.#catalogue;
    if (this.#heard === changed) return;
    this.#heard = changed;
    void changed.then(() => this.#wakeSoon(this.#waiting));
  }

  /** Ends when nobody waits any more. */
  async #tick(): Promise<void> {
    this.#isTicking = true;
    while (this.#waiting.size > 0) {
      await this.#clock.sleep(TICK_MS);
      const nowMs = this.#clock.monotonicMs();
      this.#wakeSoon([...this.#waiting].filter(({ untilMs }) => untilMs <= nowMs));
    }
    this.#isTicking = false;
  }

  #wakeSoon(due: Iterable<Waiting>): void {
    for (const waiting of due) this.#due.add(waiting);
    if (!this.#isWaking) this.#wakeSome();
  }

  #wakeSome(): void {
    let count = 0;
    for (const waiting of this.#due) {
      if (count++ === EACH_TURN) break;
      this.#due.delete(waiting);
      // One that was let go meanwhile waits no more, and waking it does nothing.
      waiting.wake();
    }
    this.#isWaking = this.#due.size > 0;
    if (this.#isWaking) setImmediate(() => this.#wakeSome());
  }
}

/** A waiter's own handle: whoever ends its watch lets it go. */
export interface Waiter {
  letGo: () => void;
}

const NOTHING = (): void => {};
