import { execFileSync } from "node:child_process";
import { listTree, readCpuMicros, readRssBytes } from "../machine/process-figures.ts";

/** What a process and its children have used so far. */
export interface ProcessSample {
  /** CPU time of the process and its living children, in microseconds. */
  readonly cpuUs: number;
  /** Resident memory of the process alone, in bytes. */
  readonly rssBytes: number;
}

/** Reads what a process has used. */
export function sampleProcess(pid: number): ProcessSample {
  return { cpuUs: readCpuMicros(listTree(pid)), rssBytes: readRssBytes([pid]) };
}

/** Puts a process, with all its threads and the children it has now, on one core. Later children inherit it. */
export function pinProcess(pid: number, core: number): void {
  for (const one of listTree(pid)) {
    execFileSync("taskset", ["-a", "-p", "-c", String(core), String(one)], { stdio: "ignore" });
  }
}

/** Resident memory of a process over time. */
export interface MemoryRange {
  readonly startBytes: number;
  readonly peakBytes: number;
  readonly endBytes: number;
}

const SAMPLE_MS = 500;

/** Watches the memory of processes until `stop` is called, which says what it came to. A process may be started again meanwhile. */
export function watchMemory<Name extends string>(
  pids: () => Record<Name, number>,
): { stop(): Record<Name, MemoryRange> } {
  const read = (): [Name, number][] =>
    (Object.entries(pids()) as [Name, number][]).map(([name, pid]) => [name, readRssBytes([pid])]);
  const start = new Map(read());
  const peak = new Map(start);
  const look = (): void => {
    for (const [name, bytes] of read()) peak.set(name, Math.max(peak.get(name) ?? 0, bytes));
  };
  const timer = setInterval(look, SAMPLE_MS);
  return {
    stop() {
      clearInterval(timer);
      look();
      const ranges = read().map(([name, endBytes]): [Name, MemoryRange] => [
        name,
        { startBytes: start.get(name) ?? 0, peakBytes: peak.get(name) ?? 0, endBytes },
      ]);
      return Object.fromEntries(ranges) as Record<Name, MemoryRange>;
    },
  };
}
