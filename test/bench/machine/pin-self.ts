import { execFileSync } from "node:child_process";

/** Pins this process, all its threads and all that it will start to a core. */
export function pinSelf(core: number): void {
  execFileSync("taskset", ["-a", "-c", "-p", String(core), String(process.pid)], { stdio: "ignore" });
}
