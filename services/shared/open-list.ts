/** Something that stands in at most one {@link OpenList} at a time. The list alone writes these. */
export interface Listed {
  before?: Listed | undefined;
  after?: Listed | undefined;
}

/**
 * What is open now, in the order of its coming: for things that come and go with every request.
 *
 * Not a Set: a Set makes itself a new table every few dozen deletions, and a table that it left holds on to the next one. Once one
 * of them has grown old, all that follow outlive every collection of young memory, with everything that stood in them: a third of
 * what a busy router allocated was copied into old memory that way. Here what leaves is tied to nothing.
 */
export class OpenList<T extends Listed> {
  /** Stands before the first and after the last one. */
  readonly #ends: Listed = {};
  #size = 0;

  constructor() {
    this.#ends.before = this.#ends;
    this.#ends.after = this.#ends;
  }

  /** How many stand in it. */
  get size(): number {
    return this.#size;
  }

  /** The one that came first; undefined when there is none. */
  get first(): T | undefined {
    return this.#size === 0 ? undefined : (this.#ends.after as T);
  }

  /** Puts it at the end. Nothing happens when it stands in a list already. */
  add(item: T): void {
    if (item.before !== undefined) return;
    const last = this.#ends.before as Listed;
    item.before = last;
    item.after = this.#ends;
    last.after = item;
    this.#ends.before = item;
    this.#size += 1;
  }

  /** Takes it out. False when it was not in. */
  remove(item: T): boolean {
    const { before, after } = item;
    if (before === undefined || after === undefined) return false;
    before.after = after;
    after.before = before;
    item.before = undefined;
    item.after = undefined;
    this.#size -= 1;
    return true;
  }

  /** Those that are in it now and `wanted`, in their order; all of them by default. Some may have left by the time the caller comes to them. */
  list(wanted: (item: T) => boolean = () => true): T[] {
    const found: T[] = [];
    for (let item = this.#ends.after as Listed; item !== this.#ends; item = item.after as Listed) {
      if (wanted(item as T)) found.push(item as T);
    }
    return found;
  }
}
