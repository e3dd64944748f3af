/** What a segment says of a contender. Times are microseconds, memory is bytes, unless the name says otherwise. */
export const FIGURES = {
  cpu: { label: "CPU µs/request", digits: 1, compared: "ratio" },
  perCore: { label: "requests/s per core", digits: 0, compared: "none" },
  rps: { label: "requests/s seen", digits: 0, compared: "none" },
  cpuSeconds: { label: "CPU ms/1,000 requests", digits: 1, compared: "none" },
  firstByteP50: { label: "first byte p50", digits: 0, compared: "added" },
  firstByteP95: { label: "first byte p95", digits: 0, compared: "added" },
  firstByteP99: { label: "first byte p99", digits: 0, compared: "added" },
  totalP50: { label: "total p50", digits: 0, compared: "added" },
  totalP95: { label: "total p95", digits: 0, compared: "added" },
  totalP99: { label: "total p99", digits: 0, compared: "added" },
  firstTokenP50: { label: "first token p50", digits: 0, compared: "added" },
  firstTokenP95: { label: "first token p95", digits: 0, compared: "added" },
  firstTokenP99: { label: "first token p99", digits: 0, compared: "added" },
  cpuPerEvent: { label: "CPU µs/event", digits: 2, compared: "ratio" },
  eventsPerSecond: { label: "chunks/s", digits: 0, compared: "none" },
  eventDelayP50: { label: "event delay p50", digits: 0, compared: "added" },
  eventDelayP95: { label: "event delay p95", digits: 0, compared: "added" },
  eventDelayP99: { label: "event delay p99", digits: 0, compared: "added" },
  rate: { label: "rate/s", digits: 0, compared: "none" },
  rssIdleMb: { label: "RSS idle MB", digits: 1, compared: "none" },
  rssOpenMb: { label: "RSS open MB", digits: 1, compared: "none" },
  kbPerStream: { label: "KB/open stream", digits: 1, compared: "ratio" },
  kbPerStreamMinute: { label: "KB/stream and minute", digits: 2, compared: "none" },
  startMs: { label: "start ms", digits: 0, compared: "none" },
  idleCpuMs: { label: "idle CPU ms/s", digits: 1, compared: "none" },
  loopDelayP99Ms: { label: "loop delay p99 ms", digits: 2, compared: "none" },
  rssMb: { label: "RSS MB", digits: 0, compared: "none" },
} as const satisfies Record<string, Figure>;

/** How a figure is shown and what it is compared with. */
export interface Figure {
  readonly label: string;
  readonly digits: number;
  /** `ratio`: to the bare relay in the same round. `added`: less that of `direct` in the same round. */
  readonly compared: "ratio" | "added" | "none";
}

/** Name of a figure. */
export type FigureName = keyof typeof FIGURES;

/** Some figures. */
export type Figures = Partial<Record<FigureName, number>>;
