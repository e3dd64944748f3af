import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Progress } from "./progress.ts";

/** The folder of the repository where an unpacked nats-server is shared by all meshes that are started from it. */
const SHARED_BIN = join(import.meta.dirname, "../../.weir/bin");

/** Options of {@link obtainNatsServer}. */
export interface ObtainNatsServerOptions {
  /** Where an unpacked nats-server is kept when the repository's `.weir/bin` cannot be written. */
  readonly binDir: string;
  readonly progress: Progress;
  /** Folders to look in first. Default: those of PATH, and /usr/sbin. */
  readonly searchPath?: readonly string[];
}

/**
 * Finds a nats-server on the PATH, or one unpacked before; else obtains Debian's package without touching the system: apt-get with
 * state folders of its own, and dpkg-deb to unpack. Works as root and as any user. Returns the path of the program. Throws, saying
 * what to install, where that is impossible.
 */
export async function obtainNatsServer(options: ObtainNatsServerOptions): Promise<string> {
  const folders = options.searchPath ?? [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/bin"];
  const found = folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "nats-server"))
    .find(isExecutable);
  if (found) {
    return found;
  }
  const binDirs = [SHARED_BIN, options.binDir];
  const kept = binDirs.map((folder) => join(folder, "nats-server")).find(isExecutable);
  if (kept) {
    return kept;
  }
  const started = performance.now();
  const folder = binDirs.find(isWritable) ?? options.binDir;
  const target = join(folder, "nats-server");
  try {
    await download(folder, target);
  } catch (error) {
    throw new Error(
      `Cannot start NATS: no nats-server (2.9 or later) is on the PATH, and Debian's package could not be obtained (${(error as Error).message}); install it with "apt-get install nats-server" (Debian, Ubuntu), "brew install nats-server", or put the program of github.com/nats-io/nats-server/releases on the PATH`,
    );
  }
  options.progress.done("obtain nats-server", performance.now() - started, `Debian's package, unpacked as ${target}`);
  return target;
}

async function download(binDir: string, target: string): Promise<void> {
  mkdirSync(binDir, { recursive: true, mode: 0o700 });
  const work = mkdtempSync(join(binDir, "apt-"));
  try {
    for (const folder of ["state/lists/partial", "cache/archives/partial", "package", "root"]) {
      mkdirSync(join(work, folder), { recursive: true });
    }
    const settings = [
      `Dir::State=${work}/state`,
      `Dir::State::lists=${work}/state/lists`,
      `Dir::Cache=${work}/cache`,
      "Debug::NoLocking=1",
      // As root, apt drops to the user _apt, who cannot write here.
      "APT::Sandbox::User=root",
      "Acquire::Retries=2",
    ].flatMap((setting) => ["-o", setting]);
    await run("apt-get", [...settings, "update"], work);
    await run("apt-get", [...settings, "download", "nats-server"], join(work, "package"));
    const file = readdirSync(join(work, "package")).find((name) => name.endsWith(".deb"));
    if (!file) {
      throw new Error("apt-get downloaded no package");
    }
    await run("dpkg-deb", ["-x", join(work, "package", file), join(work, "root")], work);
    const program = ["usr/sbin/nats-server", "usr/bin/nats-server"].map((p) => join(work, "root", p)).find(existsSync);
    if (!program) {
      throw new Error("the package holds no nats-server");
    }
    renameSync(program, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Makes the folder, where missing, and tells whether files can be made in it. */
function isWritable(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function run(command: string, args: string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "ignore", "pipe"], timeout: 120_000 });
    let output = "";
    child.stderr.on("data", (data: Buffer) => {
      output = (output + data.toString()).slice(-1_000);
    });
    child.once("error", (error) => reject(new Error(`${command}: ${error.message}`)));
    child.once("close", (code) => {
      const last = output.trim().split("\n").at(-1) ?? "";
      return code === 0 ? resolve() : reject(new Error(`${command} exited with code ${code}${last && `: ${last}`}`));
    });
  });
}
