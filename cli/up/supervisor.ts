import { fileURLToPath } from "node:url";
import { ChildRun, type ProcessOptions, readLogTail } from "./managed-process.ts";
import type { Progress } from "./progress.ts";
import { endAll, readRunFiles, removeRunFile, writeRunFile } from "./run-file.ts";

/** Options of {@link Supervisor}. */
export interface SupervisorOptions {
  readonly runDir: string;
  readonly logDir: string;
  readonly progress: Progress;
  /** Starts a child again when it dies on its own, with back-off. Default false (tests decide themselves). */
  readonly restart?: boolean;
}

/** Waits before the first, second, … restart of a child that keeps dying. After the last one it is given up. */
const RESTART_DELAYS_MS = [200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 15_000, 15_000];

/** How often a restart on request is tried. */
const RESTART_ATTEMPTS = 5;

/** A child that ran this long counts as well again: its next death starts the back-off anew. */
const WELL_AGAIN_MS = 60_000;

/** A child of the supervisor, through all its runs. */
export interface Supervised {
  readonly name: string;
  /** Pid of the present run, of the last one when it is down. */
  readonly pid: number;
  readonly isRunning: boolean;
  /** Sends a signal. With a deadly one it stays down until {@link restart}. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Stops it in an orderly way (its stop signal, then SIGKILL). It stays down until {@link restart}. */
  stop(): Promise<void>;
  /** Starts it again, stopping it before when it runs. Returns when it is ready. */
  restart(): Promise<void>;
  /** Waits until it is ready. Throws when it dies or its time is over. */
  waitReady(): Promise<void>;
}

/**
 * Starts the children of a mesh in order and stops them in reverse order.
 *
 * States of a child: *starting* (spawned, not ready), *ready*, *stopping* (asked to), *down* (ended on request), *waiting* (died on
 * its own, to be started again), *given up*. When the supervisor dies in any of them, the services end because their standard
 * input does, the warden ends the rest, and what survives even that is found by its run file at the next start.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children: Child[] = [];
  readonly #stopping = new AbortController();
  #warden: ChildRun | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Ends what a killed supervisor left behind, and starts the warden. Call it once, before the first child, with the data directory locked. */
  async begin(): Promise<void> {
    const { runDir, logDir, progress } = this.#options;
    const leftovers = readRunFiles(runDir);
    const started = performance.now();
    const ended = await endAll(leftovers);
    for (const file of leftovers) {
      removeRunFile(runDir, file.name);
    }
    if (ended.length > 0) {
      progress.done("clear leftovers", performance.now() - started, `of a killed mesh: ${ended.join(", ")}`);
    }
    this.#warden = await ChildRun.start(
      {
        name: "warden",
        command: process.execPath,
        args: [fileURLToPath(new URL("./warden.ts", import.meta.url)), runDir],
        environment: { PATH: process.env.PATH ?? "" },
        ready: async () => true,
      },
      logDir,
    );
    writeRunFile(runDir, {
      name: "warden",
      order: 1_000_000, // ended first when it is a leftover: it has nothing to do any more then
      stopSignal: "SIGKILL",
      stopTimeoutMs: 1_000,
      process: this.#warden.identity,
    });
  }

  /** Starts a child and waits until it is ready. Throws, with the last lines of its log, when it does not get there. */
  async start(options: ProcessOptions): Promise<Supervised> {
    this.#stopping.signal.throwIfAborted();
    const child = new Child(options, this.#children.length, this.#options, this.#warden, this.#stopping.signal);
    this.#children.push(child);
    await child.start();
    return child;
  }

  /** The children, in the order of their start. */
  get children(): readonly Supervised[] {
    return this.#children;
  }

  /** Stops all children in reverse order of their start. Nothing runs any more when it returns. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("Cannot start: the mesh is stopping"));
    for (const child of [...this.#children].reverse()) {
      await child.stop();
    }
    if (this.#warden) {
      this.#warden.endInput();
      await this.#warden.stop("SIGCONT", 2_000); // it exits by itself when its input ends
      removeRunFile(this.#options.runDir, "warden");
    }
  }

  /** Kills all children at once, for an impatient second Ctrl-C. {@link stop} in progress then returns soon. */
  killAll(): void {
    this.#stopping.abort(new Error("Cannot start: the mesh is stopping"));
    for (const child of [...this.#children].reverse()) {
      child.signalNow("SIGKILL");
    }
  }
}

const DEADLY: readonly NodeJS.Signals[] = ["SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT"];

class Child implements Supervised {
  readonly name: string;
  readonly #process: ProcessOptions;
  readonly #order: number;
  readonly #options: SupervisorOptions;
  readonly #warden: ChildRun | undefined;
  readonly #meshStopping: AbortSignal;
  #run: ChildRun | undefined;
  #deaths = 0;
  /** Whether it was ever ready. One that was not is not started again: what is wrong with it is for the user to mend. */
  #wasReady = false;
  /** Whether it is meant to run. A death while this is true is unexpected. */
  #wanted = false;
  /** A start that is under way, which a stop must wait for: else it would find nothing to stop yet. */
  #spawning: Promise<void> | undefined;

  constructor(
    process: ProcessOptions,
    order: number,
    options: SupervisorOptions,
    warden: ChildRun | undefined,
    meshStopping: AbortSignal,
  ) {
    this.name = process.name;
    this.#process = process;
    this.#order = order;
    this.#options = options;
    this.#warden = warden;
    this.#meshStopping = meshStopping;
  }

  get pid(): number {
    return this.#run?.identity.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#run !== undefined && !this.#run.hasEnded;
  }

  async start(): Promise<void> {
    const started = performance.now();
    await this.#spawn();
    await this.waitReady();
    this.#options.progress.done(this.name, performance.now() - started, this.#process.detail);
  }

  signalNow(signal: NodeJS.Signals): void {
    this.#wanted = false;
    this.#run?.signal(signal);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const deadly = DEADLY.includes(signal);
    if (deadly) {
      this.#wanted = false;
    }
    this.#run?.signal(signal);
    if (deadly) {
      await this.#run?.ended;
    }
  }

  async stop(): Promise<void> {
    this.#wanted = false;
    await this.#spawning?.catch(() => {});
    const started = performance.now();
    await this.#run?.stop(this.#process.stopSignal ?? "SIGTERM", this.#process.stopTimeoutMs ?? 15_000);
    const elapsedMs = performance.now() - started;
    if (elapsedMs > 5_000) {
      this.#options.progress.note(`${this.name} took ${(elapsedMs / 1000).toFixed(1)} s to stop`);
    }
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.#spawn();
    // After a kill from outside, children of the old run may still hold what the new one needs (PostgreSQL's shared memory): it
    // ends at once then, and is tried again a little later.
    for (let attempt = 1; attempt < RESTART_ATTEMPTS; attempt++) {
      try {
        return await this.waitReady();
      } catch (error) {
        if (!this.#run?.hasEnded || this.#meshStopping.aborted) {
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, 200));
        await this.#spawn();
      }
    }
    await this.waitReady();
  }

  async waitReady(): Promise<void> {
    const timeoutMs = this.#process.readyTimeoutMs ?? 30_000;
    const deadline = AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#meshStopping]);
    while (!(await this.#process.ready(deadline).catch(() => false))) {
      this.#meshStopping.throwIfAborted();
      const run = this.#run;
      if (run?.hasEnded && !(this.#options.restart && this.#wasReady)) {
        throw this.#notReady(`it ${await run.ended}`);
      }
      if (deadline.aborted) {
        throw this.#notReady(`it is not ready after ${timeoutMs / 1000} s`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    this.#wasReady = true;
  }

  #notReady(state: string): Error {
    const tail = readLogTail(this.#options.logDir, this.name);
    return new Error(
      `Cannot start ${this.name}: ${state}; its log is ${this.#options.logDir}/${this.name}.log${tail ? `\n${tail}` : ""}`,
    );
  }

  async #spawn(): Promise<void> {
    this.#meshStopping.throwIfAborted();
    this.#wanted = true;
    this.#spawning = this.#spawnRun();
    await this.#spawning;
  }

  async #spawnRun(): Promise<void> {
    const run = await ChildRun.start(this.#process, this.#options.logDir);
    const startedAtMs = performance.now();
    this.#run = run;
    const file = {
      name: this.name,
      order: this.#order,
      stopSignal: this.#process.stopSignal ?? "SIGTERM",
      stopTimeoutMs: this.#process.stopTimeoutMs ?? 15_000,
      process: run.identity,
    } as const;
    writeRunFile(this.#options.runDir, file);
    this.#warden?.tell({ add: file });
    void run.ended.then((how) => this.#onEnd(run, how, performance.now() - startedAtMs));
  }

  async #onEnd(run: ChildRun, how: string, ranMs: number): Promise<void> {
    if (this.#run !== run) {
      return;
    }
    this.#warden?.tell({ remove: this.name });
    removeRunFile(this.#options.runDir, this.name);
    if (!this.#wanted || !this.#wasReady) {
      return;
    }
    this.#deaths = ranMs > WELL_AGAIN_MS ? 1 : this.#deaths + 1;
    const { progress, logDir, restart } = this.#options;
    const delayMs = RESTART_DELAYS_MS[this.#deaths - 1];
    if (!restart || delayMs === undefined) {
      progress.note(
        `${this.name} ${how}${restart ? ` for the ${this.#deaths}th time and is given up` : ""}; its log is ${logDir}/${this.name}.log`,
      );
      return;
    }
    progress.note(
      `${this.name} ${how}, is started again in ${delayMs / 1000} s; its log is ${logDir}/${this.name}.log`,
    );
    await new Promise((resolve) => setTimeout(resolve, delayMs).unref());
    if (this.#wanted && this.#run === run && !this.#meshStopping.aborted) {
      await this.#spawn().catch((error: Error) => progress.note(error.message));
    }
  }
}
