/** What both programs print, as types. README.md says what each number means. */

/** The generator's report: the one line of JSON on its stdout. */
export interface LoadReport {
  readonly mode: "closed" | "open" | "hold";
  /** Requests of the window that got a whole 2xx answer. All that did not are in `errors` or `unfinished`. */
  readonly requests: number;
  readonly errors: {
    /** Whole answers with another status than 2xx, by status. */
    readonly status: Readonly<Record<string, number>>;
    readonly connect: number;
    /** Closed or broken before the first byte of an answer. */
    readonly reset: number;
    readonly timeout: number;
    /** Ended or unreadable in the middle of an answer, or a stream without its mark of the end. */
    readonly incomplete: number;
  };
  /** Requests of the window that had not ended when the generator stopped. */
  readonly unfinished: number;
  /** Length of the window. */
  readonly seconds: number;
  readonly rps: number;
  /** Of bodies, without framing. */
  readonly bytes: number;
  /** Content events of streams. */
  readonly events: number;
  /** In the whole run. */
  readonly connectionsOpened: number;
  readonly firstByteMicros: Percentiles;
  readonly firstEventMicros: Percentiles;
  readonly totalMicros: Percentiles;
  /** From the stamp in an event to its arrival here. */
  readonly eventDelayMicros: Percentiles;
  /** From when a request was meant to start to when the generator started it. */
  readonly latenessMicros: Percentiles;
  /** CPU time of the generator within the window. */
  readonly cpuMicros: number;
  /** The generator's CPU time as a share of one core. */
  readonly busyShare: number;
  /** CPU time of each `--watch-pid` within the window; null when it was gone at the end. */
  readonly watchedCpuMicros: Readonly<Record<string, number | null>>;
  /** The same counts for all of the run: warm-up, window and drain. */
  readonly wholeRun: { readonly requests: number; readonly events: number; readonly bytes: number };
}

/** A distribution in microseconds. All but the count is null when nothing was counted. */
export interface Percentiles {
  readonly count: number;
  readonly mean: number | null;
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly p999: number | null;
  readonly max: number | null;
}

/** The provider's `GET /stats`, counted since its start. */
export interface ProviderStats {
  /** POSTs that it began to answer as a model. */
  readonly requests: number;
  /** Of these, the streamed ones. */
  readonly streams: number;
  /** Answers under way now, streamed or not. */
  readonly open: number;
  /** Content events sent. */
  readonly events: number;
  /** Answers whose client left before their end. */
  readonly aborted: number;
  /** Connections open now, with the one that asks. */
  readonly connections: number;
  readonly cpuMicros: number;
  readonly pid: number;
}
