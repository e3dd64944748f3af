import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive, type ProcessIdentity } from "../../services/shared/process-identity.ts";
import { signalProcess } from "./process-tree.ts";

/** What is kept on disk about a running child, so that a later start can find and end it. */
export interface RunFile {
  readonly name: string;
  /** Place in the order of starts; what was started last is stopped first. */
  readonly order: number;
  readonly stopSignal: NodeJS.Signals;
  readonly stopTimeoutMs: number;
  readonly process: ProcessIdentity;
}

/** Writes the run file of a child, whole or not at all. */
export function writeRunFile(runDir: string, file: RunFile): void {
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  const path = join(runDir, `${file.name}.json`);
  writeFileSync(`${path}.new`, JSON.stringify(file), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Removes the run file of a child. Does nothing when there is none. */
export function removeRunFile(runDir: string, name: string): void {
  rmSync(join(runDir, `${name}.json`), { force: true });
}

/** Reads all run files of a data directory. One that cannot be read (a torn write of an older start) is removed. */
export function readRunFiles(runDir: string): RunFile[] {
  let names: string[];
  try {
    names = readdirSync(runDir).filter((name) => name.endsWith(".json"));
  } catch {
    return [];
  }
  const files: RunFile[] = [];
  for (const name of names) {
    try {
      files.push(JSON.parse(readFileSync(join(runDir, name), "utf8")) as RunFile);
    } catch {
      rmSync(join(runDir, name), { force: true });
    }
  }
  return files.sort((a, b) => a.order - b.order);
}

/** Options of {@link endAll}. */
export interface EndAllOptions {
  /** Ends at once instead of asking first. */
  readonly now?: boolean;
}

/**
 * Ends the processes of these run files in reverse order of their start: the stop signal first, SIGKILL to the whole group when
 * the stop time is over. Returns when all are gone, with the names of those that were still alive.
 */
export async function endAll(files: readonly RunFile[], options: EndAllOptions = {}): Promise<string[]> {
  const ended: string[] = [];
  for (const file of [...files].sort((a, b) => b.order - a.order)) {
    if (!isAlive(file.process)) {
      continue;
    }
    ended.push(file.name);
    if (!options.now) {
      signalProcess(file.process, file.stopSignal);
      if (await isGone(file.process, file.stopTimeoutMs)) {
        continue;
      }
    }
    signalProcess(file.process, "SIGKILL", { group: true });
    await isGone(file.process, 5_000);
  }
  return ended;
}

/** Waits until a process that need not be a child of ours is gone. False when the time is over first. */
async function isGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  // The kernel tells of the end of somebody else's child only by /proc: ask again every 20 ms.
  while (isAlive(identity)) {
    if (performance.now() > deadline) {
      return false;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}
