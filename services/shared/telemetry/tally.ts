/**
 * Counters and histograms that cost nanoseconds: a call adds to plain numbers, and the page is made of them when it is scraped.
 * prom-client's own look up, sort and join labels at each call, which took a tenth of a request's CPU. A place that counts often
 * asks for its tally once (`labels`) and holds on to it; everywhere else `inc` and `observe` with labels do.
 */

/** Values of a metric's labels, by name. */
export type Labels<L extends string = string> = Readonly<Partial<Record<L, string>>>;

/** One line of the page, in the form that prom-client's registry prints. */
export interface PageValue {
  readonly metricName?: string;
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly sharedLabels?: Labels;
}

/** What is told of a metric on the page. */
export interface TallyFacts {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

/** Most combinations of labels that a metric keeps apart; the calls of all others are counted as one, labelled "other". */
const COMBINATION_LIMIT = 10_000;

/** A count that only rises. */
export class CounterTally {
  value = 0;

  /** Adds `count`, from 0. */
  inc(count = 1): void {
    if (!(count >= 0 && count < Number.POSITIVE_INFINITY)) throw new RangeError(`Cannot count ${count}`);
    this.value += count;
  }
}

/** Numbers by size: how many fell into each bucket, and their sum. */
export class HistogramTally {
  /** Upper bounds of the buckets, inclusive, rising. */
  readonly bounds: readonly number[];
  /** By bucket, the one above the last bound included; not summed up. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  /** Adds one number, in the unit of the metric. */
  observe(value: number): void {
    if (!Number.isFinite(value)) throw new RangeError(`Cannot observe ${value}`);
    const bounds = this.bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket += 1;
    this.counts[bucket]! += 1;
    this.sum += value;
  }
}

/** The tallies of a metric, by their labels. */
class TalliesByLabels<T> {
  readonly #names: readonly string[];
  readonly #create: () => T;
  readonly #tallies = new Map<string, { readonly labels: Labels; readonly tally: T }>();

  constructor(names: readonly string[], create: () => T) {
    this.#names = names;
    this.#create = create;
  }

  get(labels: Labels): T {
    for (const name in labels) {
      if (!this.#names.includes(name)) throw new RangeError(`Cannot count: the metric has no label "${name}"`);
    }
    const key = JSON.stringify(this.#names.map((name) => labels[name]));
    const known = this.#tallies.get(key);
    if (known !== undefined) return known.tally;
    if (this.#tallies.size >= COMBINATION_LIMIT && !this.#isOther(labels)) {
      return this.get(Object.fromEntries(this.#names.map((name) => [name, "other"])));
    }
    const tally = this.#create();
    this.#tallies.set(key, { labels: { ...labels }, tally });
    return tally;
  }

  list(): IterableIterator<{ readonly labels: Labels; readonly tally: T }> {
    return this.#tallies.values();
  }

  #isOther(labels: Labels): boolean {
    return this.#names.every((name) => labels[name] === "other");
  }
}

/** A counter of the page. */
export class Counter<L extends string = string> {
  readonly type = "counter";
  readonly name: string;
  readonly help: string;
  readonly #tallies: TalliesByLabels<CounterTally>;

  constructor({ name, help, labelNames }: TallyFacts) {
    this.name = name;
    this.help = help;
    this.#tallies = new TalliesByLabels(labelNames, () => new CounterTally());
    // Without labels there is one line, and it is there from the beginning.
    if (labelNames.length === 0) this.#tallies.get({});
  }

  /** The tally for these labels. Throws RangeError for a label that the metric does not have. */
  labels(labels: Labels<L>): CounterTally {
    return this.#tallies.get(labels);
  }

  /** Adds `count`, default 1: `inc()`, `inc(2)`, or with labels `inc({ reason }, 2)`. */
  inc(labels?: Labels<L> | number, count?: number): void {
    if (typeof labels === "object") this.#tallies.get(labels).inc(count);
    else this.#tallies.get({}).inc(labels);
  }

  /** What the registry prints. */
  async get(): Promise<{ name: string; help: string; type: string; values: PageValue[]; aggregator: string }> {
    const { name, help, type } = this;
    const values = Array.from(this.#tallies.list(), ({ labels, tally }) => ({
      value: tally.value,
      labels: toText(labels),
    }));
    return { name, help, type, values, aggregator: "sum" };
  }
}

/** A histogram of the page. */
export class Histogram<L extends string = string> {
  readonly type = "histogram";
  readonly name: string;
  readonly help: string;
  readonly #bounds: readonly number[];
  readonly #tallies: TalliesByLabels<HistogramTally>;
  /** Of a metric without labels, so that a place that observes often has no look-up. */
  readonly #only: HistogramTally | undefined;

  constructor({ name, help, labelNames, buckets }: TallyFacts & { readonly buckets: readonly number[] }) {
    this.name = name;
    this.help = help;
    this.#bounds = buckets;
    this.#tallies = new TalliesByLabels(labelNames, () => new HistogramTally(buckets));
    this.#only = labelNames.length === 0 ? this.#tallies.get({}) : undefined;
  }

  /** The tally for these labels. Throws RangeError for a label that the metric does not have. */
  labels(labels: Labels<L>): HistogramTally {
    return this.#tallies.get(labels);
  }

  /** Adds one number in the unit of the name: `observe(0.2)`, or with labels `observe({ rpc_method }, 0.2)`. */
  observe(labels: Labels<L> | number, value = 0): void {
    if (typeof labels === "number") (this.#only ?? this.#tallies.get({})).observe(labels);
    else this.#tallies.get(labels).observe(value);
  }

  /** What the registry prints. */
  async get(): Promise<{ name: string; help: string; type: string; values: PageValue[]; aggregator: string }> {
    const { name, help, type } = this;
    const values: PageValue[] = [];
    for (const { labels, tally } of this.#tallies.list()) {
      const sharedLabels = toText(labels);
      let below = 0;
      const metricName = `${name}_bucket`;
      for (const [bucket, le] of this.#bounds.entries()) {
        below += tally.counts[bucket]!;
        values.push({ metricName, value: below, labels: { le }, sharedLabels });
      }
      below += tally.counts[this.#bounds.length]!;
      values.push(
        { metricName, value: below, labels: { le: "+Inf" }, sharedLabels },
        { metricName: `${name}_sum`, value: tally.sum, labels: {}, sharedLabels },
        { metricName: `${name}_count`, value: below, labels: {}, sharedLabels },
      );
    }
    return { name, help, type, values, aggregator: "sum" };
  }
}

/** Labels that have a value. */
function toText(labels: Labels): Record<string, string> {
  const text: Record<string, string> = {};
  for (const [name, value] of Object.entries(labels)) if (value !== undefined) text[name] = value;
  return text;
}

/**
 * Tallies that a place holds on to, each made when it is first asked for: one look-up by a plain value in place of the labels.
 * Its keys are of few values, as labels are.
 */
export class TallyMap<K, T> {
  readonly #create: (key: K) => T;
  readonly #tallies = new Map<K, T>();

  constructor(create: (key: K) => T) {
    this.#create = create;
  }

  get(key: K): T {
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = this.#create(key);
      this.#tallies.set(key, tally);
    }
    return tally;
  }
}
