import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

let folder: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-process-"));
});

afterEach(() => {
  child?.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

/** Runs a service whose start and stop are given as source; resolves at its log line "Started". */
async function run(start: string, stop: string, environment: Record<string, string> = {}) {
  const source = `import { runService } from ${JSON.stringify(join(import.meta.dirname, "process.ts"))};
    runService("test", async ({ log, signal }) => { const hold = setInterval(() => {}, 60_000); ${start};
      log.info("Started"); return { stop: async () => { ${stop} } }; });`;
  writeFileSync(join(folder, "service.ts"), source);
  const started = spawn(process.execPath, [join(folder, "service.ts")], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ["pipe", "pipe", "inherit"],
  });
  child = started;
  const lines: { msg: string; level: string }[] = [];
  const seen = Promise.withResolvers<void>();
  createInterface({ input: started.stdout }).on("line", (line) => {
    lines.push(JSON.parse(line));
    if (lines.at(-1)?.msg === "Started") seen.resolve();
  });
  const exit = once(started, "close").then(([code]) => code as number);
  await Promise.race([seen.promise, exit]);
  return { child: started, lines, exit };
}

describe("runService()", () => {
  it("stops on SIGTERM and exits 0", async () => {
    const service = await run("", "log.info('Stop called')");

    service.child.kill("SIGTERM");

    expect(await service.exit).toBe(0);
    expect(service.lines.map((line) => line.msg)).toEqual(["Started", "Stopping", "Stop called", "Stopped"]);
  });

  it("exits at once on a second signal", async () => {
    const service = await run("", "process.kill(process.pid, 'SIGTERM'); await new Promise(() => {})");

    service.child.kill("SIGTERM");

    expect(await service.exit).toBe(143);
  });

  it("stops when its supervisor is gone", async () => {
    const service = await run("", "", { WEIR_SUPERVISED: "true" });

    service.child.stdin?.end();

    expect(await service.exit).toBe(0);
  });

  it("exits 1 with a line when it cannot start", async () => {
    const service = await run("throw new Error('no luck')", "");

    expect(await service.exit).toBe(1);
    expect(service.lines).toMatchObject([{ level: "fatal", msg: "Cannot start" }]);
  });

  it("exits 1 with a line on an error that nobody handled", async () => {
    const service = await run("setImmediate(() => { Promise.reject(new Error('lost')) })", "");

    expect(await service.exit).toBe(1);
    expect(service.lines.at(-1)).toMatchObject({ level: "fatal", err: { message: "lost" } });
  });
});
