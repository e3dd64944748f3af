import { readFileSync } from "node:fs";

/** What tells a process from a later one that got the same pid: when it was started, and in which boot of the machine. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot: field 22 of /proc/<pid>/stat, see proc(5). */
  readonly startTicks: string;
  readonly bootId: string;
}

/** Finds the identity of a living process. `undefined` when there is none with this pid, or only its corpse (a zombie). */
export function findProcess(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The name in parentheses may hold spaces and parentheses: count the fields from the last one on.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields[0], fields[19]];
  if (state === "Z" || state === "X" || startTicks === undefined) {
    return undefined;
  }
  return { pid, startTicks, bootId: readBootId() };
}

/** Lists the living children of a process. Empty when it is gone. */
export function findChildren(pid: number): ProcessIdentity[] {
  try {
    const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return pids.map((child) => findProcess(Number(child))).filter((child) => child !== undefined);
  } catch {
    return [];
  }
}

/** Tells whether the very process that was identified is still alive. */
export function isAlive(identity: ProcessIdentity): boolean {
  const now = findProcess(identity.pid);
  return now !== undefined && now.startTicks === identity.startTicks && now.bootId === identity.bootId;
}

/**
 * Sends a signal to a process, or with `group` to its process group too. Does nothing when it is gone, or when its pid meanwhile
 * belongs to another.
 */
export function signalProcess(
  identity: ProcessIdentity,
  signal: NodeJS.Signals,
  options: { group?: boolean } = {},
): void {
  if (!isAlive(identity)) {
    return;
  }
  try {
    process.kill(options.group ? -identity.pid : identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") {
      throw error;
    }
  }
}

let bootId: string | undefined;

function readBootId(): string {
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return bootId;
}
