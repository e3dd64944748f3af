import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { createServer } from "node:net";

/** Holds a folder for one process. The kernel releases it when its holder dies, however that happens. */
export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Takes a folder, which must be there, for this process alone. Undefined when a living process has it.
 *
 * The lock is a listening socket in Linux's abstract namespace (unix(7)), named after the folder: unlike a lock file it cannot be left
 * behind, and two starts at the same instant cannot both get it. It holds within one network namespace: two containers that share
 * a folder do not see each other.
 */
export async function lockFolder(folder: string): Promise<FolderLock | undefined> {
  const path = realpathSync(folder);
  const name = `\0weir-${createHash("sha256").update(path).digest("hex").slice(0, 32)}`;
  const server = createServer((socket) => socket.destroy());
  const isTaken = await new Promise<boolean>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(true) : reject(error),
    );
    server.listen(name, () => resolve(false));
  });
  if (isTaken) return undefined;
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}
