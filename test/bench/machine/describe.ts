import { cpus, release, totalmem } from "node:os";
import type { Machine } from "../results/run-result.ts";

/** What this machine is, for those who read the results elsewhere. */
export function describeMachine(): Machine {
  const all = cpus();
  return {
    cpu: (all[0]?.model ?? "unknown").trim(),
    cores: all.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}
