import { type Clock, pause } from "./clock.ts";

/**
 * What a loop takes between two rounds, and whoever has work for it ends. Work that comes during a round is not overlooked: the rest after it
 * does not begin.
 */
export class Rest {
  #isWoken = false;
  #end: (() => void) | undefined;

  /** Says that there is work. Returns at once, and costs next to nothing. */
  wake(): void {
    this.#isWoken = true;
    this.#end?.();
  }

  /** Begins a round, which does all the work that there is: what woke before is done with. */
  beginRound(): void {
    this.#isWoken = false;
  }

  /** Rests for so many milliseconds, until somebody wakes, or until the signal fires. */
  async take(clock: Pick<Clock, "sleep">, ms: number, signal: AbortSignal): Promise<void> {
    if (this.#isWoken || signal.aborted) return;
    // Not AbortSignal.any: what it makes of a signal that lives as long as the process outlives all collections of young objects.
    const ending = new AbortController();
    const end = (): void => ending.abort();
    this.#end = end;
    signal.addEventListener("abort", end, { once: true });
    try {
      await pause(clock, ms, ending.signal);
    } finally {
      signal.removeEventListener("abort", end);
      this.#end = undefined;
    }
  }
}
