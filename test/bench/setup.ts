import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { HOST } from "../../cli/up/layout.ts";
import { createSilentProgress } from "../../cli/up/progress.ts";
import { type Supervised, Supervisor } from "../../cli/up/supervisor.ts";
import { checkListener, refuseTakenPort } from "./machine/listener.ts";
import { listTree } from "./machine/process-figures.ts";

/** The repository. */
export const ROOT = join(import.meta.dirname, "../..");

/** Where the bench keeps what it starts and finds; not in git. */
export const BENCH_FOLDER = join(ROOT, ".weir-bench");

/** Who runs where. The mesh behind Weir has a core of its own where there is a third one. */
export const CORES = { gateway: 0, load: 1, mesh: availableParallelism() > 2 ? 2 : 1 } as const;

/** Further processes of a contender, which must not cost anybody anything while something is measured. */
export interface Companions {
  /** Its processes. They count as the contender's own when foreign load is looked for. */
  pids(): number[];
  /** Holds them, called before each segment. */
  pause(): Promise<void>;
  /** Lets them go on and waits until they have caught up, called after each segment. */
  resume(): Promise<void>;
  /** Only lets them go on: a process that is held cannot be asked to stop. */
  wake(): Promise<void>;
}

/** What all contenders stand on. */
export interface Setup {
  readonly supervisor: Supervisor;
  /** Folder of this run; emptied at its start. */
  readonly folder: string;
  readonly basePort: number;
  readonly provider: Program;
  /** Program that makes the load. */
  readonly load: string;
  /** The next free port of the run's range. */
  takePort(): number;
  /** Added by those contenders that have some. */
  companions: Companions[];
  /** Aborts when the run is interrupted. */
  readonly ending: AbortController;
  /** Called, last first, when the run ends. */
  readonly onEnd: (() => Promise<void>)[];
}

/** A program that was started, pinned to a core, and that owns its port. */
export interface Program {
  readonly name: string;
  readonly port: number;
  /** Its processes: itself and all below it. */
  pids(): number[];
  /** Starts it anew, as cold as at first. Returns how long it took to take requests, in milliseconds. */
  restart(): Promise<number>;
  stop(): Promise<void>;
  /** Milliseconds by which its event loop was late since it was last asked; empty when it is no Node program. */
  takeLoopDelay(): Promise<LoopDelay>;
}

/** How late an event loop was, in milliseconds. */
export interface LoopDelay {
  readonly p50?: number;
  readonly p99?: number;
  readonly max?: number;
}

/** What to start. */
export interface ProgramOptions {
  readonly name: string;
  readonly core: number;
  readonly port: number;
  readonly command: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** It is a Node program that loads `machine/loop-delay.ts`. */
  readonly isNode?: boolean;
  /** Others listen on its port too, as intended. */
  readonly sharesPort?: boolean;
  /** Its core is shared with others that work as hard: whoever wakes up waits until the one that runs is done (SCHED_BATCH). */
  readonly takesTurns?: boolean;
  /** Asks whether it takes requests. Default: its port accepts a connection. */
  readonly isReady?: () => Promise<boolean>;
  readonly stopSignal?: NodeJS.Signals;
}

/** Ports of one run: the mesh takes the first 60, then come provider and contenders. */
const FIRST_OWN_PORT = 60;

/** Prepares a run: an empty folder, a supervisor, the provider on the load's core. Ends everything again when it cannot. */
export async function prepareSetup(options: {
  readonly basePort: number;
  readonly native: { readonly provider: string; readonly load: string };
}): Promise<Setup> {
  const { basePort, native } = options;
  const folder = join(BENCH_FOLDER, `run-${basePort}`);
  const supervisor = new Supervisor({
    runDir: join(BENCH_FOLDER, `processes-${basePort}`),
    logDir: join(folder, "logs"),
    progress: createSilentProgress(),
  });
  mkdirSync(folder, { recursive: true });
  await supervisor.begin();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  let nextPort = basePort + FIRST_OWN_PORT;
  const takePort = () => nextPort++;
  const providerPort = takePort();
  const partial = {
    supervisor,
    folder,
    basePort,
    load: native.load,
    takePort,
    companions: [],
    ending: new AbortController(),
    onEnd: [],
  };
  try {
    const provider = await startProgram(partial, {
      name: "provider",
      core: CORES.load,
      port: providerPort,
      command: native.provider,
      args: ["--port", String(providerPort)],
    });
    return { ...partial, provider };
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

/** Ends all that a run started. Safe to be called again. */
export async function endSetup(setup: Setup): Promise<void> {
  setup.ending.abort(new Error("Cannot go on: the run is ending"));
  for (const companions of setup.companions) await companions.wake();
  for (let end = setup.onEnd.pop(); end !== undefined; end = setup.onEnd.pop()) await end();
  await setup.supervisor.stop();
}

/** Starts a program on its core and its port. Refuses when the port is taken, and when another process turns out to listen there. */
export async function startProgram(
  setup: Pick<Setup, "supervisor" | "folder">,
  options: ProgramOptions,
): Promise<Program> {
  const { name, core, port, command, args, isNode = false, sharesPort = false, takesTurns = false } = options;
  if (!sharesPort) refuseTakenPort(port, name);
  const delayFile = join(setup.folder, `${name}.loop-delay.json`);
  const child = await setup.supervisor.start({
    name,
    command: "taskset",
    args: ["-c", String(core), ...(takesTurns ? ["chrt", "--batch", "0"] : []), command, ...args],
    environment: {
      PATH: process.env.PATH ?? "",
      HOME: process.env.HOME ?? "",
      NODE_ENV: "production",
      BENCH_LOOP_DELAY: delayFile,
      ...options.environment,
    },
    ready: options.isReady ?? (() => accepts(port)),
    ...(options.stopSignal && { stopSignal: options.stopSignal }),
  });
  const pids = () => (child.isRunning ? listTree(child.pid) : []);
  checkListener(port, name, pids(), sharesPort);
  return {
    name,
    port,
    pids,
    restart: async () => {
      await child.stop();
      if (!sharesPort) refuseTakenPort(port, name);
      const startedAt = performance.now();
      await child.restart();
      const startMs = performance.now() - startedAt;
      checkListener(port, name, pids(), sharesPort);
      return startMs;
    },
    stop: () => child.stop(),
    takeLoopDelay: () => (isNode ? takeLoopDelay(child, delayFile) : Promise.resolve({})),
  };
}

/** Arguments with which every Node contender is started: the same binary, the same measuring of its event loop. */
export function nodeArguments(...args: string[]): Pick<ProgramOptions, "command" | "args" | "isNode"> {
  const preload = join(import.meta.dirname, "machine/loop-delay.ts");
  return { command: process.execPath, args: ["--import", preload, ...args], isNode: true };
}

/** Runs a command on a core and returns what it printed. Throws, with what it complained of, when it fails. */
export function run(command: string, args: readonly string[], core: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("taskset", ["-c", String(core), command, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    running.add(child.pid as number);
    let output = "";
    let complaint = "";
    child.stdout.on("data", (data: Buffer) => {
      output += data.toString();
    });
    child.stderr.on("data", (data: Buffer) => {
      complaint = (complaint + data.toString()).slice(-2_000);
    });
    child.once("error", reject);
    child.once("close", (code) => {
      running.delete(child.pid as number);
      if (code === 0) resolve(output);
      else reject(new Error(`Cannot go on: ${command} ended with ${code}: ${complaint.trim() || output.slice(-500)}`));
    });
  });
}

/** Ends the commands that {@link run} waits for, when the bench is interrupted. */
export function endCommands(): void {
  for (const pid of running) process.kill(pid, "SIGKILL");
}

const running = new Set<number>();

async function takeLoopDelay(child: Supervised, path: string): Promise<LoopDelay> {
  rmSync(path, { force: true });
  if (!child.isRunning) return {};
  process.kill(child.pid, "SIGUSR2");
  for (let attempt = 0; attempt < 40; attempt++) {
    await pause(25);
    try {
      if (statSync(path).size > 0) return JSON.parse(readFileSync(path, "utf8")) as LoopDelay;
    } catch {
      // not written yet
    }
  }
  return {};
}

/** Waits. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Whether a port of loopback accepts a connection. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: HOST, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
