import { measure } from "../measure.ts";
import type { LoadReport, Percentiles } from "../native/report.ts";
import { pause } from "../setup.ts";
import type { Scenario } from "./scenario.ts";

/** How long a contender is left alone before its idle CPU is looked at. */
const REST_MS = 1_000;

/** From nothing to taking requests, and what it costs when there are none. */
export const startUp: Scenario = {
  name: "start-up",
  about: "From its start to taking requests (asked each 50 ms), and CPU without any load",
  seconds: 10,
  rounds: 3,
  takes: ({ program, name }) => program !== undefined && !["relay-again", "weir-unmetered", "weir-off"].includes(name),
  run: async ({ setup, contender, seconds }) => {
    const startMs = (await contender.program?.restart()) ?? 0;
    await contender.waitReady?.();
    await pause(REST_MS);
    const sample = await measure(setup, contender, async () => {
      await pause(seconds * 1000);
      return createEmptyReport(seconds);
    });
    return { sample, figures: { startMs, idleCpuMs: sample.cpuMicros / 1000 / sample.wallSeconds } };
  },
};

/** The report of a generator that made no load, or that timed nothing. */
export function createEmptyReport(seconds: number): LoadReport {
  const none: Percentiles = { count: 0, mean: null, p50: null, p90: null, p95: null, p99: null, p999: null, max: null };
  return {
    mode: "closed",
    requests: 0,
    errors: { status: {}, connect: 0, reset: 0, timeout: 0, incomplete: 0 },
    unfinished: 0,
    seconds,
    rps: 0,
    bytes: 0,
    events: 0,
    connectionsOpened: 0,
    firstByteMicros: none,
    firstEventMicros: none,
    totalMicros: none,
    eventDelayMicros: none,
    latenessMicros: none,
    cpuMicros: 0,
    busyShare: 0,
    watchedCpuMicros: {},
    wholeRun: { requests: 0, events: 0, bytes: 0 },
  };
}
