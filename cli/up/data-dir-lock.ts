import { chmodSync, mkdirSync, realpathSync } from "node:fs";
import { type FolderLock, lockFolder } from "../../services/shared/folder-lock.ts";

/** Makes a data directory (mode 0700) and takes it for this process. Throws when a living mesh has it. */
export async function lockDataDir(dataDir: string): Promise<FolderLock> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  const lock = await lockFolder(dataDir);
  if (lock === undefined) {
    throw new Error(
      `Cannot start mesh: the data directory "${realpathSync(dataDir)}" is in use by a running mesh; stop that one, or choose another directory with --data-dir and other ports with --port`,
    );
  }
  return lock;
}
