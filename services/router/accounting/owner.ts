import { findProcess, isAlive, type ProcessIdentity } from "../../shared/process-identity.ts";

/** The process that a life's directory belongs to. Where there is no /proc only its pid is known, the rest is empty. */
export type Owner = ProcessIdentity;

/** This process. */
export function getOwner(): Owner {
  return findProcess(process.pid) ?? { pid: process.pid, startTicks: "", bootId: "" };
}

/** Whether another process that wrote its name here still lives. Where there is no /proc, a living pid counts as alive. */
export function isOwned(owner: Owner): boolean {
  // A pid of its own (1, in a container) comes again at each start.
  if (owner.pid === process.pid) return false;
  if (owner.startTicks !== "") return isAlive(owner);
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
