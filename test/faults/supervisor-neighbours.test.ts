import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { getFreeBasePort } from "../ports.ts";
import { findProcessesOf, type RunningCommand, startCommand, waitNothingLeft } from "../processes.ts";

// Two meshes on one machine, and what stands in the way of a second one.

const firstDir = mkdtempSync(join(tmpdir(), "weir-first-"));
const secondDir = mkdtempSync(join(tmpdir(), "weir-second-"));

afterAll(async () => {
  for (const dataDir of [firstDir, secondDir]) {
    await waitNothingLeft(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }
});

function start(dataDir: string, port: number): RunningCommand {
  return startCommand("node", ["cli/start.ts", "--data-dir", dataDir, "--port", String(port)]);
}

async function chat(output: string): Promise<number> {
  const [, url] = /router eu +(http:\S+)/.exec(output) ?? [];
  const [key] = /weir_production_\S+/.exec(output) ?? [];
  const response = await fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "small", messages: [{ role: "user", content: "Hello" }] }),
  });
  await response.text();
  return response.status;
}

describe("two meshes", () => {
  it("run side by side on other ports, each stopped without the other, and refuse each other's folder and ports", async () => {
    const firstPort = await getFreeBasePort();
    const first = start(firstDir, firstPort);
    await first.waitFor("Ctrl-C stops everything");
    const second = start(secondDir, await getFreeBasePort());
    await second.waitFor("Ctrl-C stops everything");

    const sameFolder = start(firstDir, await getFreeBasePort());
    expect(await sameFolder.ended).toBe(1);
    expect(sameFolder.output()).toContain("is in use by a running mesh");

    const samePorts = start(mkdtempSync(join(secondDir, "third-")), firstPort);
    expect(await samePorts.ended).toBe(1);
    expect(samePorts.output()).toContain(`something else listens on port ${firstPort} (policy)`);

    second.signalGroup("SIGINT");
    await second.ended;
    expect(findProcessesOf(secondDir)).toEqual([]);
    expect(await chat(first.output())).toBe(200);

    first.signalGroup("SIGINT");
    await first.ended;
    expect(findProcessesOf(firstDir)).toEqual([]);
  });

  it("a taken port is named, with what it is wanted for", async () => {
    const port = await getFreeBasePort();
    const server = createServer().listen(port + 31, "127.0.0.1");

    const command = start(firstDir, port);
    const code = await command.ended;
    server.close();

    expect(code).toBe(1);
    expect(command.output()).toContain(`something else listens on port ${port + 31} (nats-hub)`);
    expect(findProcessesOf(firstDir)).toEqual([]);
  });
});
