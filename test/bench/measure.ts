import type { RunningContender } from "./contenders/contender.ts";
import { countErrors } from "./load.ts";
import {
  readAllCpuMicros,
  readCoreMicros,
  readCpuMicros,
  readEndedChildrenMicros,
  readRssBytes,
} from "./machine/process-figures.ts";
import type { LoadReport } from "./native/report.ts";
import { countProvided } from "./provided.ts";
import { CORES, type LoopDelay, pause, type Setup } from "./setup.ts";

/** What was seen of the machine while load was made. */
export interface Sample {
  readonly report: LoadReport;
  /** Of the contender's whole process tree, for all that it did for these requests, what it finished after the last one included. */
  readonly cpuMicros: number;
  readonly wallSeconds: number;
  /** Share of the time that each core was busy. */
  readonly coreShares: readonly number[];
  readonly loopDelay: LoopDelay;
  readonly rssBytes: number;
  /** RSS each second, when asked for. */
  readonly rssSeries: readonly { readonly seconds: number; readonly bytes: number }[];
  /** Requests that reached the provider. */
  readonly provided: number;
  /** What speaks against the segment; empty when nothing does. */
  readonly problems: readonly string[];
}

/** Options of {@link measure}. */
export interface MeasureOptions {
  /** Latencies are judged: the load's core must not be busy, nor the generator late. */
  readonly judgesLatency?: boolean;
  /** Requests are meant to be unfinished when the time is over. */
  readonly endsUnfinished?: boolean;
  /** Reads the contender's RSS once a second. */
  readonly watchesRss?: boolean;
}

/** Most CPU that a process which has nothing to do with the segment may use, as a share of a core. */
const FOREIGN_SHARE = 0.02;
/** The same of all that cannot be named, such as processes that came and went. The kernel's own work is in it. */
const UNNAMED_SHARE = 0.1;
/** So many of them are named. */
const NAMED = 3;
const LATENESS_MICROS = 200;
const BUSY_SHARE = 0.6;
/** A contender is done when it uses less than this in {@link SETTLE_STEP_MS}. */
const SETTLED_MICROS = 20_000;
const SETTLE_STEP_MS = 250;
const SETTLE_STEPS = 12;

/**
 * Measures a contender while load is made. Nothing of the bench runs meanwhile but the generator and the provider: what is read of
 * /proc is read before and after. What the contender does after the last answer (Weir ships facts) counts as its cost.
 */
export async function measure(
  setup: Setup,
  contender: RunningContender,
  makeLoad: () => Promise<LoadReport>,
  options: MeasureOptions = {},
): Promise<Sample> {
  const { program } = contender;
  for (const companions of setup.companions) await companions.pause();
  try {
    await program?.takeLoopDelay();
    const pids = program?.pids() ?? [];
    const own = new Set([...pids, ...setup.provider.pids(), process.pid]);
    if (contender.hasCompanions) for (const pid of setup.companions.flatMap(({ pids: list }) => list())) own.add(pid);
    const look = () => ({
      cores: readCoreMicros(),
      all: readAllCpuMicros(),
      known: readCpuMicros([...own]) + readEndedChildrenMicros(),
    });
    const before = { cpu: readCpuMicros(pids), ...look() };
    const startedAt = performance.now();
    const watch = options.watchesRss ? watchRss(pids) : undefined;
    const { result: report, provided } = await countProvided(setup, makeLoad);
    watch?.stop();
    const wallSeconds = (performance.now() - startedAt) / 1000;
    const after = look();
    const cpuMicros = (await settle(pids)) - before.cpu;
    const coreShares = after.cores.map(({ busy, total }, core) => {
      const { busy: busyBefore = 0, total: totalBefore = 0 } = before.cores[core] ?? {};
      return (busy - busyBefore) / Math.max(1, total - totalBefore);
    });
    const foreign = findForeign(before, after, own, wallSeconds);
    return {
      report,
      cpuMicros,
      wallSeconds,
      coreShares,
      loopDelay: (await program?.takeLoopDelay()) ?? {},
      rssBytes: readRssBytes(pids),
      rssSeries: watch?.series ?? [],
      provided,
      problems: [...findProblems(report, coreShares, options), ...foreign],
    };
  } finally {
    for (const companions of setup.companions) await companions.resume();
  }
}

function findProblems(report: LoadReport, coreShares: readonly number[], options: MeasureOptions): string[] {
  const { unfinished } = report;
  const errors = countErrors(report);
  const lateness = report.latenessMicros.p99 ?? 0;
  const loadShare = coreShares[CORES.load] ?? 0;
  return [
    ...(errors > 0 ? [`${errors} errors: ${describeErrors(report)}`] : []),
    ...(unfinished > 0 && !options.endsUnfinished ? [`${unfinished} unfinished`] : []),
    ...(options.judgesLatency && lateness > LATENESS_MICROS
      ? [`generator late by ${Math.round(lateness)} µs at p99`]
      : []),
    ...(options.judgesLatency && loadShare > BUSY_SHARE ? [`load's core ${toPercent(loadShare)} busy`] : []),
  ];
}

/** What the machine did at an instant. */
interface Look {
  readonly cores: ReturnType<typeof readCoreMicros>;
  readonly all: ReturnType<typeof readAllCpuMicros>;
  /** CPU of all that belongs to the segment. */
  readonly known: number;
}

/** What other processes used, when one of them used too much, or when many came and went. */
function findForeign(before: Look, after: Look, own: ReadonlySet<number>, seconds: number): string[] {
  const shares = [...after.all]
    .filter(([pid]) => !own.has(pid))
    .map(([pid, { micros, name }]) => ({
      name,
      share: (micros - (before.all.get(pid)?.micros ?? 0)) / (seconds * 1e6),
    }))
    .filter(({ share }) => share > FOREIGN_SHARE)
    .sort((a, b) => b.share - a.share);
  const named = shares.reduce((sum, { share }) => sum + share, 0);
  const busy = ({ cores }: Look) => cores.reduce((sum, { programs }) => sum + programs, 0);
  const used = (busy(after) - busy(before) - (after.known - before.known)) / (seconds * 1e6);
  if (shares.length === 0 && used < UNNAMED_SHARE) return [];
  const names = shares.slice(0, NAMED).map(({ name, share }) => `${name} ${toPercent(share)}`);
  const others = used - named > UNNAMED_SHARE ? [`others ${toPercent(used - named)}`] : [];
  return [`foreign processes used ${toPercent(Math.max(used, named))} of a core (${[...names, ...others].join(", ")})`];
}

/** Waits until a contender has finished what its requests left behind, and returns its CPU time since it began. */
async function settle(pids: readonly number[]): Promise<number> {
  let cpu = readCpuMicros(pids);
  if (pids.length === 0) return cpu;
  for (let step = 0; step < SETTLE_STEPS; step++) {
    await pause(SETTLE_STEP_MS);
    const now = readCpuMicros(pids);
    const isSettled = now - cpu < SETTLED_MICROS;
    cpu = now;
    if (isSettled) break;
  }
  return cpu;
}

function watchRss(pids: readonly number[]): { readonly series: Sample["rssSeries"][number][]; stop(): void } {
  const series: Sample["rssSeries"][number][] = [];
  const startedAt = performance.now();
  const timer = setInterval(() => {
    series.push({ seconds: (performance.now() - startedAt) / 1000, bytes: readRssBytes(pids) });
  }, 1_000);
  return { series, stop: () => clearInterval(timer) };
}

function toPercent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function describeErrors({ errors: { status, ...others } }: LoadReport): string {
  return [
    ...Object.entries(status).map(([code, count]) => `${count} of status ${code}`),
    ...Object.entries(others).flatMap(([kind, count]) => (count > 0 ? [`${count} ${kind}`] : [])),
  ].join(", ");
}
