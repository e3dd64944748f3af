import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findProcess, isAlive } from "../../services/shared/process-identity.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import type { ProcessOptions } from "./managed-process.ts";
import { createSilentProgress } from "./progress.ts";
import { writeRunFile } from "./run-file.ts";
import { Supervisor } from "./supervisor.ts";

let directory: string;
let supervisor: Supervisor;
let progress: ReturnType<typeof createSilentProgress>;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-supervisor-"));
  progress = createSilentProgress();
  supervisor = createSupervisor();
});

afterEach(async () => {
  await supervisor.stop();
  rmSync(directory, { recursive: true, force: true });
});

function createSupervisor(options: { restart?: boolean } = {}): Supervisor {
  return new Supervisor({ runDir: join(directory, "run"), logDir: join(directory, "logs"), progress, ...options });
}

/** A child that runs this shell script; ready as soon as it has printed "ready". */
function shell(name: string, script: string): ProcessOptions {
  return {
    name,
    command: "sh",
    args: ["-c", script],
    environment: { PATH: process.env.PATH ?? "" },
    ready: async () => readLog(name).includes("ready"),
    readyTimeoutMs: 10_000,
    stopTimeoutMs: 2_000,
  };
}

function readLog(name: string): string {
  try {
    return readFileSync(join(directory, "logs", `${name}.log`), "utf8");
  } catch {
    return "";
  }
}

const STAY = "echo ready; while :; do sleep 0.1; done";

describe("Supervisor", () => {
  it("stops children in reverse order of their start and leaves no run file", async () => {
    const log = join(directory, "order");
    const child = (name: string) => shell(name, `trap 'echo ${name} >> ${log}; exit 0' TERM; ${STAY}`);
    await supervisor.begin();
    const first = await supervisor.start(child("first"));
    await supervisor.start(child("second"));
    expect(readdirSync(join(directory, "run")).sort()).toEqual(["first.json", "second.json", "warden.json"]);

    await supervisor.stop();

    expect(readFileSync(log, "utf8")).toBe("second\nfirst\n");
    expect(findProcess(first.pid)).toBeUndefined();
    expect(readdirSync(join(directory, "run"))).toEqual([]);
  });

  it("kills the whole group of a child that does not stop in time", async () => {
    await supervisor.begin();
    const child = await supervisor.start({
      ...shell("stubborn", `trap '' TERM; sh -c "trap '' TERM; ${STAY}" & echo $!; ${STAY}`),
      stopTimeoutMs: 50,
    });
    const grandchild = Number(/^\d+$/m.exec(readLog("stubborn"))?.[0]);

    await child.stop();

    expect(findProcess(child.pid)).toBeUndefined();
    await expect.poll(() => findProcess(grandchild)).toBeUndefined();
  });

  it("says why a child did not come up, with the last lines of its log", async () => {
    await supervisor.begin();

    const start = supervisor.start(shell("broken", "echo the port is taken >&2; exit 3"));

    await expect(start).rejects.toThrow(/Cannot start broken: it exited with code 3.*\n.*the port is taken/);
  });

  it("starts a child again that died on its own, and says so", async () => {
    supervisor = createSupervisor({ restart: true });
    await supervisor.begin();
    const child = await supervisor.start(shell("mortal", STAY));
    const { pid } = child;

    process.kill(pid, "SIGKILL");

    await expect.poll(() => child.isRunning && child.pid !== pid, { timeout: 10_000 }).toBe(true);
    expect(progress.notes[0]).toMatch(/^mortal was ended by SIGKILL, is started again in 0\.2 s/);
  });

  it("leaves a child down that it was told to kill", async () => {
    supervisor = createSupervisor({ restart: true });
    await supervisor.begin();
    const child = await supervisor.start(shell("victim", STAY));

    await child.kill("SIGKILL");
    expect(child.isRunning).toBe(false);
    expect(progress.notes).toEqual([]);

    await child.restart();
    expect(child.isRunning).toBe(true);
  });

  it("ends what a killed supervisor left behind, but no process that got the pid of one", async () => {
    const leftover = spawn("sh", ["-c", STAY], { detached: true, stdio: "ignore" });
    const stranger = spawn("sh", ["-c", STAY], { detached: true, stdio: "ignore" });
    const identity = findProcess(leftover.pid!)!;
    const file = { order: 0, stopSignal: "SIGTERM", stopTimeoutMs: 1_000 } as const;
    writeRunFile(join(directory, "run"), { ...file, name: "leftover", process: identity });
    const reused = { ...findProcess(stranger.pid!)!, startTicks: "1" };
    writeRunFile(join(directory, "run"), { ...file, name: "reused", process: reused });

    await supervisor.begin();

    expect(isAlive(identity)).toBe(false);
    expect(findProcess(stranger.pid!)).toBeDefined();
    stranger.kill("SIGKILL");
  });
});

describe("lockDataDir()", () => {
  it("gives a folder to one mesh at a time, and to the next when that one has let go", async () => {
    const lock = await lockDataDir(directory);

    await expect(lockDataDir(directory)).rejects.toThrow("is in use by a running mesh");
    await lock.release();
    const second = await lockDataDir(directory);
    await second.release();
  });
});
