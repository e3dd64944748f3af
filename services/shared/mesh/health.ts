/** What follows readiness as a number; a Prometheus gauge is one. */
interface Follower {
  set(value: 0 | 1): void;
}

/** Whether a service takes work, and why (not). */
export interface Readiness {
  readonly ready: boolean;
  /** For an operator: "applied snapshot 12", "no snapshot yet", "draining". */
  readonly reason: string;
}

/**
 * Readiness of a process, said in one place and seen by everybody: grpc.health.v1, `/readyz`, the metric. Begins as not
 * ready. Draining is for good: nothing makes a drained process ready again.
 */
export class Health {
  readonly #gauge: Follower | undefined;
  readonly #drain = new AbortController();
  #readiness: Readiness = { ready: false, reason: "starting" };
  #changed = Promise.withResolvers<void>();

  /** `gauge` follows readiness as 1 and 0; give it the metric `weir_ready`. */
  constructor(options: { readonly gauge?: Follower } = {}) {
    this.#gauge = options.gauge;
    this.#gauge?.set(0);
  }

  get readiness(): Readiness {
    return this.#readiness;
  }

  /** Aborts when the process begins to drain: for work that would never end by itself. */
  get draining(): AbortSignal {
    return this.#drain.signal;
  }

  setReady(reason = "ready"): void {
    this.#set({ ready: true, reason });
  }

  setNotReady(reason: string): void {
    this.#set({ ready: false, reason });
  }

  /** Says not ready, for good. */
  drain(): void {
    this.#set({ ready: false, reason: "draining" });
    this.#drain.abort(new Error("Cannot go on: the process is draining"));
  }

  /** The readiness now and at each change, until `signal` aborts or the process drains. A slow reader skips to the newest. */
  async *watch(signal: AbortSignal): AsyncGenerator<Readiness> {
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    let last: Readiness | undefined;
    while (!signal.aborted) {
      const changed = this.#changed.promise;
      if (last !== this.#readiness) {
        last = this.#readiness;
        yield last;
        continue;
      }
      if (this.draining.aborted) return;
      await Promise.race([changed, aborted]);
    }
  }

  #set(readiness: Readiness): void {
    if (this.draining.aborted) return;
    const same = this.#readiness.ready === readiness.ready && this.#readiness.reason === readiness.reason;
    if (same) return;
    this.#readiness = readiness;
    this.#gauge?.set(readiness.ready ? 1 : 0);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
