import type { Clock } from "../../shared/clock.ts";

interface Look<Value> {
  readonly atMs: number;
  readonly value: Promise<Value>;
}

/**
 * Looks at things for all who follow them: of those who ask for the same one within a time, the first looks, so that what a look costs the
 * database does not grow with those who follow.
 */
export class SharedLooks<Key, Value> {
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #read: (key: Key) => Promise<Value>;
  readonly #looks = new Map<Key, Look<Value>>();

  /** `maxAgeMs`: how old what is seen may be, counted from when its look began. */
  constructor(clock: Clock, maxAgeMs: number, read: (key: Key) => Promise<Value>) {
    this.#clock = clock;
    this.#maxAgeMs = maxAgeMs;
    this.#read = read;
  }

  /** What is there now, or was a moment ago. Rejects when the look fails, for all who share it; the next one who asks looks again. */
  look(key: Key): Promise<Value> {
    const nowMs = this.#clock.monotonicMs();
    for (const [other, { atMs }] of this.#looks) if (nowMs - atMs >= this.#maxAgeMs) this.#looks.delete(other);
    const known = this.#looks.get(key);
    if (known !== undefined) return known.value;
    const value = this.#read(key);
    this.#looks.set(key, { atMs: nowMs, value });
    value.catch(() => this.#looks.delete(key));
    return value;
  }
}
