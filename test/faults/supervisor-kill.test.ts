import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { getFreeBasePort } from "../ports.ts";
import { findProcessesOf, startCommand, waitNothingLeft } from "../processes.ts";

// What becomes of a mesh whose supervisor ends in each of the ways it can.

const dataDir = mkdtempSync(join(tmpdir(), "weir-supervisor-"));
const port = getFreeBasePort();

afterAll(async () => {
  await waitNothingLeft(dataDir);
  rmSync(dataDir, { recursive: true, force: true });
});

async function startUp() {
  const command = startCommand("node", ["cli/start.ts", "--data-dir", dataDir, "--port", String(await port)]);
  await command.waitFor("Ctrl-C stops everything");
  return command;
}

describe("weir up", () => {
  it("ends everything in order on Ctrl-C, which the terminal sends to the whole group, and exits 0", async () => {
    const command = await startUp();

    command.signalGroup("SIGINT");
    const code = await command.ended;

    expect(code).toBe(0);
    expect(command.output()).toContain("nothing is left running");
    expect(findProcessesOf(dataDir)).toEqual([]);
    expect(readdirSync(join(dataDir, "run"))).toEqual([]);
  });

  it("takes the copy of Ctrl-C that npm hands on for the same keypress", async () => {
    const command = startCommand("npm", ["start", "--", "--data-dir", dataDir, "--port", String(await port)]);
    await command.waitFor("Ctrl-C stops everything");

    command.signalGroup("SIGINT");
    command.signalGroup("SIGINT");
    await command.ended;

    expect(command.output()).toContain("nothing is left running");
    expect(findProcessesOf(dataDir)).toEqual([]);
  });

  it("ends what it has started so far when it is interrupted while starting", async () => {
    const command = startCommand("node", ["cli/start.ts", "--data-dir", dataDir, "--port", String(await port)]);
    await command.waitFor(/postgres +\d/);

    command.signalGroup("SIGTERM");
    await command.ended;

    expect(command.output()).not.toContain("Demo key");
    expect(findProcessesOf(dataDir)).toEqual([]);
  });

  it("leaves nothing running when its supervisor is killed without a word", async () => {
    const command = await startUp();
    expect(findProcessesOf(dataDir).length).toBeGreaterThan(12);

    command.signal("SIGKILL");
    await command.ended;
    await waitNothingLeft(dataDir);

    expect(readdirSync(join(dataDir, "run"))).toEqual([]);
  });

  it("finds and clears what is left when the warden was killed too, and its data are there again", async () => {
    const first = await startUp();
    const demoKey = /weir_production_\S+/.exec(first.output())?.[0];
    const frozen = findProcessesOf(dataDir).filter(({ command }) => /postgres -D|nats-server|warden/.test(command));
    const warden = frozen.find(({ command }) => command.includes("warden"));
    process.kill(warden!.pid, "SIGKILL");
    first.signal("SIGKILL");
    await first.ended;
    const leftBehind = findProcessesOf(dataDir).map(({ command }) => command);
    expect(leftBehind.some((command) => command.includes("nats-server"))).toBe(true);

    const second = await startUp();
    expect(second.output()).toMatch(/clear leftovers .*postgres/);
    expect(/weir_production_\S+/.exec(second.output())?.[0]).toBe(demoKey);
    expect(second.output()).not.toContain("initialise PostgreSQL");

    second.signalGroup("SIGINT");
    await second.ended;
    expect(findProcessesOf(dataDir)).toEqual([]);
  });

  it("starts a process again that was killed, and says so", async () => {
    const command = await startUp();
    const router = findProcessesOf(dataDir).find(({ command: line }) => line.includes("services/router/main.ts"));

    process.kill(router!.pid, "SIGKILL");
    await command.waitFor(/router-\w\w was ended by SIGKILL, is started again in 0\.2 s/);
    command.signalGroup("SIGINT");
    const code = await command.ended;

    expect(code).toBe(0);
    expect(findProcessesOf(dataDir)).toEqual([]);
  });
});
