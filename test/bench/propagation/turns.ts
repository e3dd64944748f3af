/**
 * Loaded into what is measured with `--import`: how long the event loop was held, in CPU time of its thread. On a machine that others
 * use, too, time on the clock says how long a process waited for its turn; CPU time does not. On SIGUSR2 it writes the most since the last
 * time to the file BENCH_TURNS and begins anew.
 */
import { renameSync, writeFileSync } from "node:fs";

const path = process.env.BENCH_TURNS;

if (path) {
  let longestMs = 0;
  let before = process.threadCpuUsage();
  const turn = (): void => {
    const used = process.threadCpuUsage(before);
    before = process.threadCpuUsage();
    longestMs = Math.max(longestMs, (used.user + used.system) / 1_000);
    // Called once in each turn, and keeps no turn from waiting: it is not what the loop goes on for.
    setImmediate(turn).unref();
  };
  turn();
  process.on("SIGUSR2", () => {
    writeFileSync(`${path}.new`, JSON.stringify(longestMs));
    renameSync(`${path}.new`, path);
    longestMs = 0;
  });
}
