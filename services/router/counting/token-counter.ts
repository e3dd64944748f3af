import { Worker } from "node:worker_threads";
import type { Clock } from "../../shared/clock.ts";
import type { Listed } from "../../shared/open-list.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { KeptText } from "../providers/kept-text.ts";
import type { CountAnswer } from "./count-worker.ts";

/** Hears of a count: the tokens of what was kept of each text, in their order, or undefined when that can't be said in time. */
export type CountDone = (tokens: readonly number[] | undefined) => void;

/** How a count went: done, not in time, or not at all, since too many waited or the worker was not there. */
export type CountOutcome = "counted" | "late" | "refused";

/** Counts the tokens of texts. */
export interface TokenCounter {
  /** Takes the texts, and calls `done` exactly once, perhaps before this returns. Never throws. */
  count(texts: readonly KeptText[], done: CountDone): void;
}

/** Calls `onDeadline` once `deadlineMs` (monotonic) has passed; the dispatch room's sweep is one. */
interface Deadlines {
  add(watched: Listed & { deadlineMs: number; onDeadline(): void }): void;
  remove(watched: Listed & { deadlineMs: number; onDeadline(): void }): void;
}

/** What a counter needs. */
export interface WorkerCounterOptions {
  readonly deadlines: Deadlines;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
  /** How long a count is waited for once the worker has loaded, in milliseconds; default 2,000. */
  readonly limitMs?: number;
  /** Hears how each count went, for a metric. */
  readonly onCount?: (result: CountOutcome) => void;
  /** Makes the worker; default a thread of `count-worker.ts`. */
  readonly startWorker?: () => CountWorker;
}

/** The part of a worker thread that is used. */
export type CountWorker = Pick<Worker, "on" | "postMessage" | "terminate" | "unref">;

/** How long a count is waited for when the options do not say. */
const LIMIT_MS = 2_000;
/** How long the worker is waited for to load beside that. It takes half a second where nothing else runs. */
export const LOAD_MS = 10_000;
/** Most counts on their way; each holds at most 512 KiB. */
export const MOST_COUNTS = 64;
/** After how long without an answer the worker counts as stuck, loading included. */
const STUCK_MS = 20_000;
/** How long no new worker is started after one died. */
const REST_MS = 5_000;
/** Most memory of the worker's heap, in MiB; the encoding takes some 50. */
const HEAP_MB = 256;

/** One count on its way. */
class Count implements Listed {
  before: Listed | undefined;
  after: Listed | undefined;
  deadlineMs: number;
  readonly texts: readonly Uint8Array<ArrayBuffer>[];
  /** Ends it, with its result if there is one. */
  readonly end: (count: Count, tokens?: readonly number[]) => void;
  readonly done: CountDone;
  isOver = false;

  constructor(fields: Pick<Count, "deadlineMs" | "texts" | "end" | "done">) {
    this.deadlineMs = fields.deadlineMs;
    this.texts = fields.texts;
    this.end = fields.end;
    this.done = fields.done;
  }

  onDeadline(): void {
    this.end(this);
  }
}

/**
 * Counts in a worker thread, one count after the other, so that answers of others go on meanwhile. The worker starts with the first count,
 * for its encoding takes some 100 MB, which a router whose providers say what they used never needs. Each count ends within two seconds
 * of its coming, or of the worker's having loaded, which those that came before wait for, ten seconds at most; when more than {@link MOST_COUNTS} wait, when the worker died or was stopped, a count
 * ends at once without a result. A worker that died is started again with the first count after some seconds.
 */
export class WorkerCounter implements TokenCounter {
  readonly #options: WorkerCounterOptions;
  /** Those that the worker does not have yet, in the order of their coming. */
  #waiting: Count[] = [];
  /** The one that the worker has, though it may be over. */
  #current: Count | undefined;
  #askedAtMs = 0;
  #worker: CountWorker | undefined;
  #isLoaded = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  constructor(options: WorkerCounterOptions) {
    this.#options = options;
  }

  /** Counts on their way, one that the worker still has after its deadline among them. */
  get size(): number {
    return this.#waiting.length + (this.#current === undefined ? 0 : 1);
  }

  count(texts: readonly KeptText[], done: CountDone): void {
    const { clock, deadlines } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#current !== undefined && nowMs - this.#askedAtMs > STUCK_MS) this.#giveUp("it does not answer");
    if (this.#isStopped || this.size >= MOST_COUNTS || nowMs < this.#notBeforeMs) {
      this.#options.onCount?.("refused");
      done(undefined);
      return;
    }
    const count = new Count({
      deadlineMs: nowMs + this.#limitMs + (this.#isLoaded ? 0 : LOAD_MS),
      texts: texts.map((text) => text.handOver()),
      end: this.#end,
      done,
    });
    deadlines.add(count);
    this.#waiting.push(count);
    this.#askNext();
  }

  get #limitMs(): number {
    return this.#options.limitMs ?? LIMIT_MS;
  }

  /** Ends all counts without a result, and the worker; every later one ends at once. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const worker = this.#worker;
    this.#worker = undefined;
    this.#endAll();
    await worker?.terminate();
  }

  /** Ends a count, unless it is over. */
  readonly #end = (count: Count, tokens?: readonly number[]): void => {
    if (count.isOver) return;
    count.isOver = true;
    this.#options.deadlines.remove(count);
    this.#waiting = this.#waiting.filter((other) => other !== count);
    this.#options.onCount?.(tokens === undefined ? "late" : "counted");
    count.done(tokens);
  };

  #askNext(): void {
    if (this.#current !== undefined) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#current = next;
    this.#askedAtMs = this.#options.clock.monotonicMs();
    try {
      const worker = this.#worker ?? this.#start();
      worker.postMessage(
        next.texts,
        next.texts.filter(({ length }) => length > 0).map(({ buffer }) => buffer),
      );
    } catch (cause) {
      this.#giveUp("it can't be asked", cause);
    }
  }

  #start(): CountWorker {
    const { startWorker = startThread } = this.#options;
    const worker = startWorker();
    this.#worker = worker;
    this.#isLoaded = false;
    // It must not keep the process alive.
    worker.unref();
    worker.on("message", (answer: CountAnswer) => {
      if (worker !== this.#worker) return;
      if (answer === "loaded") this.#startClocks();
      else this.#takeResult(answer);
    });
    worker.on("error", (cause) => {
      if (worker === this.#worker) this.#giveUp("it failed", cause);
    });
    worker.on("exit", (code) => {
      if (worker === this.#worker) this.#giveUp(`it ended with code ${code}`);
    });
    return worker;
  }

  /** The worker has loaded: now the time of those that waited for it begins. */
  #startClocks(): void {
    this.#isLoaded = true;
    const deadlineMs = this.#options.clock.monotonicMs() + this.#limitMs;
    for (const count of this.#waiting) count.deadlineMs = deadlineMs;
    if (this.#current !== undefined) this.#current.deadlineMs = deadlineMs;
  }

  #takeResult(tokens: readonly number[]): void {
    const count = this.#current;
    if (count === undefined) return;
    this.#end(count, tokens);
    this.#current = undefined;
    this.#askNext();
  }

  /** Does without the worker for a while. What one text did to it should not be done to the next one at once. */
  #giveUp(state: string, cause?: unknown): void {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#isLoaded = false;
    this.#notBeforeMs = this.#options.clock.monotonicMs() + REST_MS;
    this.#options.log.warn(
      { err: cause, state },
      "The counter of tokens is started anew; until then tokens are estimated",
    );
    void worker?.terminate();
    this.#endAll();
  }

  #endAll(): void {
    const all = this.#current === undefined ? this.#waiting : [this.#current, ...this.#waiting];
    this.#current = undefined;
    for (const count of all) this.#end(count);
  }
}

/** A thread that counts. */
export function startThread(): CountWorker {
  return new Worker(new URL("./count-worker.ts", import.meta.url), {
    name: "weir token counter",
    // It needs nothing of the router's, least of all its secrets.
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
}
