import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createScriptedProvider } from "../../cli/up/scripted-provider/server.ts";
import { getFreeBasePort } from "../ports.ts";
import { findProcessesOf, startCommand } from "../processes.ts";

// The main job, as the README says it: `npm start -- demo`, with a data directory and ports of its own.

const dataDir = mkdtempSync(join(tmpdir(), "weir-main-job-"));

afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

async function runDemo(environment: object = {}): Promise<{ code: number | NodeJS.Signals; output: string }> {
  const port = String(await getFreeBasePort());
  const command = startCommand("npm", ["start", "--", "demo", "--data-dir", dataDir, "--port", port], environment);
  const code = await command.ended;
  return { code, output: command.output() };
}

describe("npm start -- demo", () => {
  it("does the main job on an empty data directory, says so step by step, exits 0 and leaves nothing running", async () => {
    const { code, output } = await runDemo();

    expect(output).toMatch(/1\. publish the example policy +ok.*version \d+, applied by the routers of eu and us/);
    for (const region of ["eu", "us"]) {
      expect(output).toMatch(
        new RegExp(`a chat with ${region} +ok.*"This is a scripted answer.*scripted-${region}/small`),
      );
      expect(output).toMatch(new RegExp(`a stream with ${region} +ok.*scripted-${region}/large, 8 pieces`));
    }
    expect(output).toMatch(/usage becomes spend +ok/);
    expect(output).toMatch(/search +small +2 +\d+ +\d+ +\$0\.\d+/);
    expect(output).toMatch(/search +large +2 +\d+ +\d+ +\$0\.\d+/);
    expect(output).toMatch(/fetch the proof of a chat +ok/);
    expect(output).toMatch(/verify it offline +ok.*PROVEN by weir\.local\/audit\/eu/);
    expect(output).toContain("SCRIPTED provider");
    expect(output).toContain("nothing is left running");
    expect(code).toBe(0);
    expect(findProcessesOf(dataDir)).toEqual([]);
  });

  it("does it again on the same data directory, whose logs only grew", async () => {
    const { code, output } = await runDemo();

    expect(code).toBe(0);
    const [, index, size] = /record (\d+) of (\d+) in the log of eu/.exec(output) ?? [];
    expect(Number(index)).toBeGreaterThanOrEqual(2);
    expect(Number(size)).toBeGreaterThan(Number(index));
    expect(findProcessesOf(dataDir)).toEqual([]);
  });

  it("uses the server that a setting names, and exits 1 with nothing left running when a step fails", async () => {
    const server = createScriptedProvider().listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const failing = { model: "*", script: { status: 500 } };
    await fetch(`${url}/script`, { method: "POST", body: JSON.stringify(failing) });

    const { code, output } = await runDemo({ WEIR_VLLM_URL: url });
    server.close();

    expect(output).not.toContain("SCRIPTED provider");
    expect(output).toMatch(/make a key +ok/);
    expect(output).toMatch(/a chat with eu +FAILED/);
    expect(code).toBe(1);
    expect(findProcessesOf(dataDir)).toEqual([]);
  });
});
