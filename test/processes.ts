import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");

/** A process that belongs to a data directory. */
export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

/**
 * Finds every living process that has to do with a data directory: it is in its command line, its environment, or its working
 * directory (PostgreSQL's children show neither of the others). Zombies are not alive.
 */
export function findProcessesOf(dataDir: string): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) {
      continue;
    }
    const read = (file: string) => {
      try {
        return readFileSync(`/proc/${entry}/${file}`, "utf8").replaceAll("\0", " ");
      } catch {
        return ""; // gone, or not ours to look into
      }
    };
    const command = read("cmdline").trim();
    const isZombie = command === "";
    if (!isZombie && [command, read("environ"), readWorkingDirectory(entry)].some((text) => text.includes(dataDir))) {
      found.push({ pid: Number(entry), command });
    }
  }
  return found;
}

function readWorkingDirectory(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}

/** Waits until no process of a data directory is left. Throws with those that are when the time is over. */
export async function waitNothingLeft(dataDir: string, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const left = findProcessesOf(dataDir);
    if (left.length === 0) {
      return;
    }
    if (performance.now() > deadline) {
      throw new Error(
        `Cannot accept: still running after ${timeoutMs} ms: ${left.map(({ pid, command }) => `${pid} ${command}`).join("; ")}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A command that a test started as a user would, in a process group of its own as a shell gives one. */
export interface RunningCommand {
  readonly pid: number;
  /** All that it printed so far, both streams together. */
  output(): string;
  /** Waits until it has printed this. Throws when it ends before. */
  waitFor(text: string | RegExp): Promise<void>;
  /** Sends a signal to the whole group, as a terminal does on Ctrl-C. */
  signalGroup(signal: NodeJS.Signals): void;
  /** Sends a signal to this one process. */
  signal(signal: NodeJS.Signals): void;
  /** Resolves with exit code or signal when it has ended. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

/**
 * Starts a command in the repository. What is piped into it is `input`, by default nothing; nothing of a real provider is in its
 * environment.
 */
export function startCommand(
  command: string,
  args: readonly string[],
  environment: object = {},
  input?: string,
): RunningCommand {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(WEIR_|OPENAI_|ANTHROPIC_|VITEST|NODE_OPTIONS)/.test(name),
  );
  const child: ChildProcess = spawn(command, args, {
    cwd: ROOT,
    env: { ...Object.fromEntries(inherited), ...environment },
    detached: true,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  child.stdin?.end(input);
  let output = "";
  const listeners = new Set<() => void>();
  const append = (data: Buffer) => {
    output += data.toString();
    for (const listener of listeners) {
      listener();
    }
  };
  child.stdout?.on("data", append);
  child.stderr?.on("data", append);
  let hasEnded = false;
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once("close", (code, signal) => {
      hasEnded = true;
      resolve(code ?? signal ?? "SIGKILL");
      for (const listener of listeners) {
        listener();
      }
    }),
  );
  return {
    pid: child.pid!,
    output: () => output,
    ended,
    signal: (signal) => void child.kill(signal),
    signalGroup: (signal) => void process.kill(-child.pid!, signal),
    waitFor: (text) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (typeof text === "string" ? output.includes(text) : text.test(output)) {
            listeners.delete(check);
            resolve();
          } else if (hasEnded) {
            listeners.delete(check);
            reject(new Error(`Cannot wait for "${text}": the command has ended; it said:\n${output}`));
          }
        };
        listeners.add(check);
        check();
      }),
  };
}
