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
    const passed: number[] = [];
    let refusal: LimitRefusal | undefined;
    for (const limit of limits) {
      const verdict = checkLimit(limit.requestsPerMinute, this.#theoreticalMs.get(keyOf(limit)) ?? 0, nowMs);
      if (verdict.passed) passed.push(verdict.theoreticalMs);
      else if (refusal === undefined || verdict.retryAfterMs > refusal.retryAfterMs) {
        refusal = { limit, retryAfterMs: verdict.retryAfterMs };
      }
    }
    if (refusal !== undefined) return refusal;
    for (const [index, limit] of limits.entries()) this.#theoreticalMs.set(keyOf(limit), passed[index] as number);
    return undefined;
  }

  #forgetSome(nowMs: number): void {
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

function keyOf({ id, subject }: CountedLimit): string {
  return `${id}\n${subject}`;
}
