import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";

/** The kernel counts CPU time in these steps of 10 ms (USER_HZ is 100 on every Linux). */
const TICK_MICROS = 10_000;
const PAGE_BYTES = 4096;

/** A process and all that descend from it, itself first. Those that are gone are left out. */
export function listTree(pid: number): number[] {
  const pids = [pid];
  for (let index = 0; index < pids.length; index++) {
    try {
      for (const task of readdirSync(`/proc/${pids[index]}/task`)) {
        const children = readFileSync(`/proc/${pids[index]}/task/${task}/children`, "utf8").trim();
        if (children !== "") pids.push(...children.split(" ").map(Number));
      }
    } catch {
      // gone meanwhile
    }
  }
  return pids;
}

/** User and system time of all threads of these processes since they began, in microseconds, in steps of 10 ms. */
export function readCpuMicros(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) ticks += readStat(pid)?.ticks ?? 0;
  return ticks * TICK_MICROS;
}

/** Memory of these processes that is resident, in bytes. */
export function readRssBytes(pids: readonly number[]): number {
  let pages = 0;
  for (const pid of pids) {
    try {
      pages += Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
    } catch {
      // gone meanwhile
    }
  }
  return pages * PAGE_BYTES;
}

/** CPU time of every process of the machine, in microseconds, with its name. Kernel threads are left out. */
export function readAllCpuMicros(): Map<number, { readonly micros: number; readonly name: string }> {
  const all = new Map<number, { micros: number; name: string }>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readStat(Number(entry));
    if (stat !== undefined && stat.parent !== 2 && stat.ticks > 0)
      all.set(Number(entry), { micros: stat.ticks * TICK_MICROS, name: readName(entry, stat.name) });
  }
  return all;
}

/** CPU time of the children of this process that have ended, in microseconds. */
export function readEndedChildrenMicros(): number {
  return (readStat(process.pid)?.childTicks ?? 0) * TICK_MICROS;
}

/** What a core has done, in microseconds. */
export interface CoreFigures {
  readonly total: number;
  readonly busy: number;
  /** Busy with programs, not with interrupts or for other machines on the same host. */
  readonly programs: number;
}

/** What each core has done since the machine began. */
export function readCoreMicros(): CoreFigures[] {
  return readFileSync("/proc/stat", "utf8")
    .split("\n")
    .filter((line) => /^cpu\d/.test(line))
    .map((line) => {
      // user nice system idle iowait irq softirq steal; guest time is in user already
      const ticks = line.split(/\s+/).slice(1, 9).map(Number);
      const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0] = ticks;
      const total = ticks.reduce((sum, value) => sum + value, 0);
      return {
        total: total * TICK_MICROS,
        busy: (total - idle - waiting) * TICK_MICROS,
        programs: (user + nice + system) * TICK_MICROS,
      };
    });
}

/** The program and its first argument, without their folders: every Node is called "node", or even "MainThread". */
function readName(pid: string, otherwise: string): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, 2).filter(Boolean);
    return words.map((word) => basename(word)).join(" ") || otherwise;
  } catch {
    return otherwise;
  }
}

function readStat(pid: number): { name: string; parent: number; ticks: number; childTicks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name is in parentheses and may hold anything, parentheses too.
    const end = text.lastIndexOf(")");
    const fields = text.slice(end + 2).split(" ");
    return {
      name: text.slice(text.indexOf("(") + 1, end),
      parent: Number(fields[1]),
      ticks: Number(fields[11]) + Number(fields[12]),
      childTicks: Number(fields[13]) + Number(fields[14]),
    };
  } catch {
    return undefined;
  }
}
