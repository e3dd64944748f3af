/** Turns signals into an orderly end. */
export interface Interrupt {
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** Stops listening. */
  end(): void;
}

/** Thrown out of a start that was interrupted: not a failure of its own. */
export class Interrupted extends Error {}

/** A second signal within this time is the same Ctrl-C: npm hands on what the terminal sent to the whole group already. */
const SAME_KEYPRESS_MS = 1_000;

/**
 * Listens for SIGINT, SIGTERM and SIGHUP: the first one aborts the signal, a second one (another keypress, not the copy that npm
 * hands on) calls `hurry`.
 */
export function listenForInterrupt(hurry: () => void): Interrupt {
  const controller = new AbortController();
  let firstAtMs: number | undefined;
  const onSignal = () => {
    const nowMs = performance.now();
    if (firstAtMs === undefined) {
      firstAtMs = nowMs;
      controller.abort(new Interrupted("Interrupted"));
    } else if (nowMs - firstAtMs > SAME_KEYPRESS_MS) {
      hurry();
    }
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of signals) {
    process.on(name, onSignal);
  }
  return {
    signal: controller.signal,
    end() {
      for (const name of signals) {
        process.off(name, onSignal);
      }
    },
  };
}
