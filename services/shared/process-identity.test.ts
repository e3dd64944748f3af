import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { findProcess, isAlive, type ProcessIdentity } from "./process-identity.ts";

const own = findProcess(process.pid) as ProcessIdentity;

describe("process identity", () => {
  it("a living process is the one that was identified", () => {
    expect(own.pid).toBe(process.pid);
    expect(isAlive(own)).toBe(true);
  });

  it("the same pid with another start, or in another boot of the machine, is another process", () => {
    expect(isAlive({ ...own, startTicks: String(Number(own.startTicks) + 1) })).toBe(false);
    expect(isAlive({ ...own, bootId: "00000000-0000-4000-8000-000000000000" })).toBe(false);
  });

  it("a process that has ended is not alive", async () => {
    const child = spawn(process.execPath, ["-e", "process.stdin.resume()"], { stdio: ["pipe", "ignore", "ignore"] });
    const identity = findProcess(child.pid as number) as ProcessIdentity;
    expect(isAlive(identity)).toBe(true);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(isAlive(identity)).toBe(false);
  });
});
