import { readFileSync } from "node:fs";

/** What tells a process from a later one that got the same pid: when it was started, and in which boot of the machine. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since the machine's boot: field 22 of /proc/<pid>/stat, see proc(5). */
  readonly startTicks: string;
  /** Id of that boot, from /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

/** Finds the identity of a living process. `undefined` when there is none with this pid, only its corpse (a zombie), or no /proc. */
export function findProcess(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The name in parentheses may hold spaces and parentheses: count the fields from the last one on.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields[0], fields[19]];
  if (state === "Z" || state === "X" || startTicks === undefined) return undefined;
  return { pid, startTicks, bootId: readBootId() };
}

/** Tells whether the very process that was identified is still alive. */
export function isAlive(identity: ProcessIdentity): boolean {
  const now = findProcess(identity.pid);
  return now !== undefined && now.startTicks === identity.startTicks && now.bootId === identity.bootId;
}

let bootId: string | undefined;

function readBootId(): string {
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return bootId;
}
