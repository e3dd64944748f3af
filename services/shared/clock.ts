/** Time as code sees it, so that a test can own it. Pure rooms take an instant instead of a clock. */
export interface Clock {
  /** Milliseconds since 1970, UTC. May jump: for stamps, never for differences. */
  nowMs(): number;
  /** Milliseconds since some start, never backwards: for differences and deadlines. */
  monotonicMs(): number;
  /** Resolves after `ms` milliseconds (at once when 0 or less). Rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The longest a Node timer can wait (2^31 - 1 ms, 24.8 days); more would fire at once. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** The clock of the machine. A process that only sleeps may exit. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const onTime = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const timer = setTimeout(onTime, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
};

/**
 * Waits for so many milliseconds, or until the signal fires: for loops that look at the signal themselves. What else goes wrong is thrown.
 */
export async function pause(clock: Pick<Clock, "sleep">, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

interface Sleeper {
  readonly wakeMs: number;
  readonly wake: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #startMs: number;
  #elapsedMs = 0;
  #sleepers: Sleeper[] = [];
  #watchers: { readonly count: number; readonly seen: () => void }[] = [];

  /** `startMs` is what `nowMs` says at first, milliseconds since 1970; default 2026-01-01T00:00:00Z. */
  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (ms <= 0) return resolve();
      const onAbort = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        wakeMs: this.#elapsedMs + ms,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#watchers = this.#watchers.filter(({ count, seen }) => {
        if (this.#sleepers.length < count) return true;
        seen();
        return false;
      });
    });
  }

  /** Moves both times on and wakes, in order of their time, those who slept until then. Their code runs after this returns. */
  advance(ms: number): void {
    this.#elapsedMs += ms;
    const due = this.#sleepers.filter((sleeper) => sleeper.wakeMs <= this.#elapsedMs);
    this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.wakeMs > this.#elapsedMs);
    for (const sleeper of due.sort((a, b) => a.wakeMs - b.wakeMs)) sleeper.wake();
  }

  /** Sets what `nowMs` says, forward or back, as who sets a machine's clock does. The monotonic time stands, and nobody wakes. */
  setWall(nowMs: number): void {
    this.#startMs = nowMs - this.#elapsedMs;
  }

  /** Resolves once at least `count` sleep at the same time: await it before `advance`, in place of a real sleep. */
  whenSleeping(count = 1): Promise<void> {
    if (this.#sleepers.length >= count) return Promise.resolve();
    return new Promise((seen) => this.#watchers.push({ count, seen }));
  }
}
