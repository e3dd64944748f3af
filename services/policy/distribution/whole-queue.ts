import type { Clock } from "../../shared/clock.ts";

/** So many watchers are sent a whole keyring at a time. */
export const SENT_AT_A_TIME = 8;
/** Who takes longer than this, milliseconds, no longer holds up those behind it. A keyring of 100,000 keys takes about a second. */
export const PATIENCE_MS = 10_000;

/** A watcher's place in the queue. */
export interface Place {
  /** Whether its turn has come. Asked again and again by who waits, since nothing tells when the patience with others is over. */
  isOn(): boolean;
  /** Gives it up, whether the turn has come or not. */
  leave(): void;
}

/** Who stands in the queue. */
interface Waiting {
  readonly begin: () => void;
}

/**
 * Those who need a whole keyring wait here for their turn. When a hundred routers come at once, the first are served soon, in place of all
 * of them late, and only so much is on its way and in memory.
 */
export class WholeQueue {
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();
  /** Those whose turn it is, with the instant at which it began, the longest first. */
  readonly #begun = new Map<Waiting, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes the last place. `onTurn` is called when its turn comes, which may be at once. */
  join(onTurn: () => void): Place {
    let isOn = false;
    const waiting: Waiting = {
      begin: () => {
        isOn = true;
        onTurn();
      },
    };
    this.#waiting.add(waiting);
    this.#advance();
    return {
      isOn: () => {
        this.#advance();
        return isOn;
      },
      leave: () => {
        this.#waiting.delete(waiting);
        this.#begun.delete(waiting);
        this.#advance();
      },
    };
  }

  #advance(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [waiting, sinceMs] of this.#begun) if (nowMs - sinceMs >= PATIENCE_MS) this.#begun.delete(waiting);
    for (const waiting of this.#waiting) {
      if (this.#begun.size >= SENT_AT_A_TIME) return;
      this.#waiting.delete(waiting);
      this.#begun.set(waiting, nowMs);
      waiting.begin();
    }
  }
}
