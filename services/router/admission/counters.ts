import type { CountedLimit } from "./admission.ts";
import { checkLimit } from "./limit.ts";

/** What refused a call. */
export interface LimitRefusal {
  readonly limit: CountedLimit;
  /** After how long one call passes, if nobody else asks. At least 1. */
  readonly retryAfterMs: number;
}

/** Most counters at a time: one a limit and subject that asked within the last minute. About 100 bytes each. */
const COUNTER_LIMIT = 1_000_000;
/** What the limits of a call would count up to. A count is synchronous, so one list serves them all. */
const passed: number[] = [];
/** Counters looked at for each call: the sweep keeps up with new ones and never takes long. */
const SWEEP_STEP = 2;

/**
 * Counts calls by limit and subject for this router. A counter that would say no more than a new one is forgotten, so its
 * memory is bounded by the callers of a minute.
 */
export class LimitCounters {
  readonly #theoreticalMs = new Map<string, number>();
  readonly #most: number;
  #sweep: IterableIterator<[string, number]> | undefined;

  /** `most` is how many counters may be held; default a million. */
  constructor(most = COUNTER_LIMIT) {
    this.#most = most;
  }

  /** How many counters are held. */
  get size(): number {
    return this.#theoreticalMs.size;
  }

  /**
   * Counts one call with all its limits if each of them lets it pass; else counts none and returns the one that it has to
   * wait for longest.
   */
  count(limits: readonly CountedLimit[], nowMs: number): LimitRefusal | undefined {
    this.#forgetSome(nowMs);
    if (limits.length === 0) return undefined;
    let refusal: LimitRefusal | undefined;
    for (let index = 0; index < limits.length; index++) {
      const limit = limits[index]!;
      const verdict = checkLimit(limit.requestsPerMinute, this.#theoreticalMs.get(limit.counter) ?? 0, nowMs);
      if (verdict.passed) passed[index] = verdict.theoreticalMs;
      else if (refusal === undefined || verdict.retryAfterMs > refusal.retryAfterMs) {
        refusal = { limit, retryAfterMs: verdict.retryAfterMs };
      }
    }
    if (refusal !== undefined) return refusal;
    for (let index = 0; index < limits.length; index++) {
      this.#theoreticalMs.set(limits[index]!.counter, passed[index]!);
    }
    return undefined;
  }

  #forgetSome(nowMs: number): void {
    if (this.#theoreticalMs.size === 0) return;
    for (let step = 0; step < SWEEP_STEP; step++) {
      this.#sweep ??= this.#theoreticalMs.entries();
      const next = this.#sweep.next();
      if (next.done) {
        this.#sweep = undefined;
        break;
      }
      const [key, theoreticalMs] = next.value;
      if (theoreticalMs <= nowMs) this.#theoreticalMs.delete(key);
    }
    // Beyond the bound the oldest goes, although it may still count: its caller gets a fresh minute, and memory stays.
    while (this.#theoreticalMs.size > this.#most) {
      const oldest = this.#theoreticalMs.keys().next().value as string;
      this.#theoreticalMs.delete(oldest);
    }
  }
}
