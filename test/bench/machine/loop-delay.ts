/**
 * Loaded into every Node contender alike with `--import`: measures how late the event loop is, by a timer each 20 ms. On SIGUSR2 it writes
 * what it saw since the last time to the file BENCH_LOOP_DELAY and begins anew.
 */
import { renameSync, writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 20;
const path = process.env.BENCH_LOOP_DELAY;

if (path) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  process.on("SIGUSR2", () => {
    // The timer's own period is part of what it measures.
    const late = (nanos: number) => Math.max(0, nanos / 1e6 - RESOLUTION_MS);
    const figures =
      histogram.count === 0
        ? {}
        : { p50: late(histogram.percentile(50)), p99: late(histogram.percentile(99)), max: late(histogram.max) };
    writeFileSync(`${path}.new`, JSON.stringify(figures));
    renameSync(`${path}.new`, path);
    histogram.reset();
  });
}
