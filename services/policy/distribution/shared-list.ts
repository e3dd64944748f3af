/**
 * A list that is made as far as somebody has read it, once for all who read it: what nobody asks for is not made, and what is long is
 * not made in one turn of the event loop. Readers may be at different places at once.
 */
export class SharedList<T> implements Iterable<T> {
  readonly #source: Iterator<T>;
  readonly #made: T[] = [];

  /** `source` is read to its end at most once. */
  constructor(source: Iterable<T>) {
    this.#source = source[Symbol.iterator]();
  }

  *[Symbol.iterator](): Generator<T, undefined> {
    for (let index = 0; ; index++) {
      if (index === this.#made.length) {
        const next = this.#source.next();
        if (next.done) return undefined;
        this.#made.push(next.value);
      }
      yield this.#made[index] as T;
    }
  }
}
