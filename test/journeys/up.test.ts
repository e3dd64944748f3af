import { spawnSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { getFreeBasePort } from "../ports.ts";
import { findProcessesOf, type RunningCommand, startCommand } from "../processes.ts";

// A newcomer's first minutes: `npm start`, and the three commands that it prints, copied into a shell.

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
let dataDir: string;
let command: RunningCommand;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "weir-up-"));
  command = startCommand("npm", ["start", "--", "--data-dir", dataDir, "--port", String(await getFreeBasePort())]);
  await command.waitFor("Ctrl-C stops everything");
});

afterAll(async () => {
  command.signalGroup("SIGINT");
  await command.ended;
  expect(findProcessesOf(dataDir)).toEqual([]);
  await rm(dataDir, { recursive: true, force: true });
});

async function paste(line: string): Promise<string> {
  const shell = startCommand("sh", ["-c", `${line.replace("curl", "curl --silent --show-error --max-time 20")}`]);
  expect(await shell.ended, shell.output()).toBe(0);
  return shell.output();
}

describe("npm start", () => {
  it.skipIf(!hasCurl)("prints three commands that work when they are copied", async () => {
    const lines = command.output().match(/^ +curl .*$/gm) ?? [];
    expect(lines).toHaveLength(3);

    const [unary, stream, typed] = await Promise.all(lines.map(paste));

    expect(JSON.parse(unary!)).toMatchObject({ object: "chat.completion" });
    expect(stream).toMatch(/^data: \{[\s\S]*data: \[DONE\]\s*$/);
    expect(JSON.parse(typed!)).toMatchObject({ target: "scripted-eu/small" });
  });

  it("keeps the demo key in a file that only its owner can read", () => {
    const path = join(dataDir, "demo-key");

    expect(command.output()).toContain(readFileSync(path, "utf8").trim());
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(dataDir).mode & 0o077).toBe(0);
  });

  it("names every endpoint, and each answers", async () => {
    const urls = command.output().match(/http:\/\/127\.0\.0\.1:\d+/g) ?? [];
    const addresses = [...new Set(urls)];
    expect(addresses.length).toBeGreaterThanOrEqual(9);

    const statuses = await Promise.all(addresses.map(async (url) => (await fetch(`${url}/healthz`)).status));

    expect(statuses).toEqual(addresses.map(() => 200));
  });

  it("says that answers are scripted, and which settings change that", () => {
    expect(command.output()).toMatch(/SCRIPTED provider[\s\S]*OPENAI_API_KEY[\s\S]*WEIR_OLLAMA_URL/);
  });
});
