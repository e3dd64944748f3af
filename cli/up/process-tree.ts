import { readFileSync } from "node:fs";

import { findProcess, isAlive, type ProcessIdentity } from "../../services/shared/process-identity.ts";

/** Lists the living children of a process. Empty when it is gone, or when its pid meanwhile belongs to another. */
export function findChildren(parent: ProcessIdentity): ProcessIdentity[] {
  const { pid } = parent;
  try {
    const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    const children = pids.map((child) => findProcess(Number(child))).filter((child) => child !== undefined);
    // Asked last: a parent that lives now has lived while its children were read.
    return isAlive(parent) ? children : [];
  } catch {
    return [];
  }
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
