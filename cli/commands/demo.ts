import type { Command } from "commander";
import { runDemo } from "../demo/demo.ts";
import { DEFAULT_BASE_PORT } from "../up/layout.ts";
import { parsePort, runMesh } from "./up.ts";

/** Adds `weir demo`: the main job from end to end, on a mesh that it starts and stops. */
export function addDemoCommand(program: Command): void {
  program
    .command("demo")
    .description("start the mesh, publish a policy, chat with both regions, show the spend, verify a proof, stop")
    .option("--port <n>", "first port; the mesh uses those up to 40 above it", parsePort, DEFAULT_BASE_PORT)
    .action(async ({ port, dataDir }: { port: number; dataDir: string }) => {
      const isDone = await runMesh({ port, dataDir }, async (mesh, signal) => {
        if (mesh.modelProviders.length === 0) {
          console.log("Answers come from the SCRIPTED provider: no model is behind them");
        }
        console.log();
        await runDemo(mesh, signal);
        console.log("\nThe main job is done: every step held");
      });
      // Interrupted: what was not tried did not hold. 130 is what shells say of SIGINT.
      process.exitCode = isDone ? 0 : 130;
    });
}
