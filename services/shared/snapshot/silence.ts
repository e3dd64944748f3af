import { type Clock, pause } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";

/** Policy sends a heartbeat every 5 s; three missed ones are a broken watch. */
const HEARTBEAT_TIMEOUT_MS = 15_000;

/** A watch that is ended when nothing comes for too long. */
export interface WatchedSilence {
  /** Fires when it was silent for 15 s, with UNAVAILABLE, when it is ended, and when the caller's signal fires. */
  readonly signal: AbortSignal;
  /** Something came. */
  note(): void;
  /** Ends it. Resolves when nothing waits any longer. */
  end(): Promise<void>;
}

/** Listens for the silence of a watch; `what` is watched. Always call `end`. */
export function endWhenSilent(options: {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly what: string;
}): WatchedSilence {
  const { clock, what } = options;
  const ending = new AbortController();
  const signal = AbortSignal.any([options.signal, ending.signal]);
  let lastMs = clock.monotonicMs();
  const listening = (async () => {
    while (!signal.aborted) {
      const leftMs = lastMs + HEARTBEAT_TIMEOUT_MS - clock.monotonicMs();
      if (leftMs <= 0) {
        ending.abort(new WeirError("UNAVAILABLE", `Cannot watch ${what}: no heartbeat came`));
        return;
      }
      await pause(clock, leftMs, signal);
    }
  })();
  return {
    signal,
    note: () => {
      lastMs = clock.monotonicMs();
    },
    end: async () => {
      ending.abort();
      await listening;
    },
  };
}
