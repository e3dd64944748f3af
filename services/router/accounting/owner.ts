import { readFileSync } from "node:fs";

/** A process, told from a later one of the same number by when it began. */
export interface Owner {
  readonly pid: number;
  /** Clock ticks from the machine's start to the process's, from /proc; empty where there is no /proc. */
  readonly startTicks: string;
}

/** This process. */
export function getOwner(): Owner {
  return { pid: process.pid, startTicks: readStartTicks(process.pid) ?? "" };
}

/** Whether another process that wrote its name here still lives. Where there is no /proc, a living number counts as alive. */
export function isAlive({ pid, startTicks }: Owner): boolean {
  // A number of its own (1, in a container) comes again at each start.
  if (pid === process.pid) return false;
  const ticks = readStartTicks(pid);
  if (ticks !== undefined && startTicks !== "") return ticks === startTicks;
  try {
    process.kill(pid, 0);
    return startTicks === "";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM" && startTicks === "";
  }
}

function readStartTicks(pid: number): string | undefined {
  try {
    // proc(5): field 22; the second field is the name in parentheses, which may hold spaces and parentheses itself.
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? undefined : rest[18];
  } catch {
    return undefined;
  }
}
