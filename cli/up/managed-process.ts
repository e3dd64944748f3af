import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { findProcess, type ProcessIdentity } from "../../services/shared/process-identity.ts";
import { findChildren, signalProcess } from "./process-tree.ts";

/** What to start, and how to tell that it is ready. */
export interface ProcessOptions {
  /** Name of the process: of its log file, its run file, and in what is printed. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment of the child; nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  /** One question whether it is ready: true, or false to be asked again soon. */
  readonly ready: (signal: AbortSignal) => Promise<boolean>;
  /** How long to wait for readiness. Default 30 s. */
  readonly readyTimeoutMs?: number;
  /** What asks it to stop. Default SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  /** How long it may take to stop before it is killed. Default 15 s (services drain for 10). */
  readonly stopTimeoutMs?: number;
  /** Address or the like, for the line that says that it is ready. */
  readonly detail?: string;
  /** Unprivileged user and group to run as, when the supervisor is root. */
  readonly uid?: number;
  readonly gid?: number;
}

const MAX_LOG_BYTES = 10 * 1024 * 1024;

/**
 * One run of a child process: in a session and process group of its own (else Ctrl-C would hit it together with the supervisor),
 * its output appended to its log file, its standard input a pipe that ends with us.
 */
export class ChildRun {
  readonly identity: ProcessIdentity;
  /** Resolves when the child has ended, with words for how. */
  readonly ended: Promise<string>;
  hasEnded = false;
  readonly #child: ChildProcess;

  /** Starts the child. Throws when it cannot be started at all. */
  static async start(options: ProcessOptions, logDir: string): Promise<ChildRun> {
    mkdirSync(logDir, { recursive: true, mode: 0o700 });
    const logPath = join(logDir, `${options.name}.log`);
    keepLogSmall(logPath);
    const log = openSync(logPath, "a", 0o600);
    try {
      const child = spawn(options.command, options.args, {
        env: options.environment,
        detached: true,
        stdio: ["pipe", log, log],
        ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid ?? options.uid }),
      });
      await new Promise<void>((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", (cause) =>
          reject(new Error(`Cannot start ${options.name}: "${options.command}" did not start (${cause.message})`)),
        );
      });
      return new ChildRun(child);
    } finally {
      closeSync(log);
    }
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    // A child that died in this instant has no /proc entry any more; its pid alone is enough to say so.
    this.identity = findProcess(child.pid!) ?? { pid: child.pid!, startTicks: "", bootId: "" };
    child.stdin?.on("error", () => {}); // EPIPE: it does not read its input, or is gone
    this.ended = new Promise((resolve) => {
      const settle = (code: number | null, signal: NodeJS.Signals | null) => {
        this.hasEnded = true;
        resolve(signal ? `was ended by ${signal}` : `exited with code ${code}`);
      };
      if (child.exitCode !== null || child.signalCode !== null) {
        settle(child.exitCode, child.signalCode);
      } else {
        child.once("exit", settle);
      }
    });
  }

  /** Writes a line to its standard input. */
  tell(message: unknown): void {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  /** Ends its standard input. */
  endInput(): void {
    this.#child.stdin?.end();
  }

  /**
   * Sends a signal. SIGKILL, SIGSTOP and SIGCONT go to the whole group and to the child's own children: those of PostgreSQL have
   * sessions of their own, and would hold its shared memory for a moment after its death. Does nothing when the child is gone.
   */
  signal(signal: NodeJS.Signals): void {
    const group = signal === "SIGKILL" || signal === "SIGSTOP" || signal === "SIGCONT";
    const children = group ? findChildren(this.identity) : [];
    signalProcess(this.identity, signal, { group });
    for (const child of children) {
      signalProcess(child, signal);
    }
  }

  /** Asks it to stop, and kills it when its time is over. Returns when it is gone. */
  async stop(signal: NodeJS.Signals, timeoutMs: number): Promise<void> {
    if (this.hasEnded) {
      return;
    }
    this.signal(signal);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(resolve, timeoutMs, "late");
    });
    if ((await Promise.race([this.ended, late])) === "late") {
      this.signal("SIGKILL");
      await this.ended;
    }
    clearTimeout(timer);
  }
}

/** Reads the last lines of a log, to show why a process did not come up. Empty when there is none. */
export function readLogTail(logDir: string, name: string, lines = 16): string {
  try {
    return readFileSync(join(logDir, `${name}.log`), "utf8")
      .trimEnd()
      .split("\n")
      .slice(-lines)
      .map((line) => `    ${line.slice(0, 400)}`)
      .join("\n");
  } catch {
    return "";
  }
}

function keepLogSmall(path: string): void {
  try {
    if (statSync(path).size > MAX_LOG_BYTES) {
      renameSync(path, `${path}.1`);
    }
  } catch {
    // no log yet
  }
}
