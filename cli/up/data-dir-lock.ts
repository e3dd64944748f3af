import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, realpathSync } from "node:fs";
import { createServer, type Server } from "node:net";

/** Holds a data directory for one mesh. The kernel releases it when its holder dies, however that happens. */
export interface DataDirLock {
  release(): Promise<void>;
}

/**
 * Makes a data directory (mode 0700) and takes it for this process. Throws when a living mesh has it.
 *
 * The lock is a listening socket in Linux's abstract namespace (unix(7)), named after the directory: unlike a lock file it cannot
 * be left behind, and two starts at the same instant cannot both get it.
 */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  const path = realpathSync(dataDir);
  const name = `\0weir-mesh-${createHash("sha256").update(path).digest("hex").slice(0, 32)}`;
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "EADDRINUSE"
          ? new Error(
              `Cannot start mesh: the data directory "${path}" is in use by a running mesh; stop that one, or choose another directory with --data-dir and other ports with --port`,
            )
          : error,
      ),
    );
    server.listen(name, () => resolve());
  });
  server.unref();
  return { release: () => close(server) };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
