#!/usr/bin/env node
// The `weir` command. Plain JavaScript, because it may be started by a Node that cannot run TypeScript: it re-executes
// itself on the Node 24 that `npm ci` puts into node_modules/.bin, and runs main.ts there.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const major = Number(process.versions.node.split(".")[0]);
const main = fileURLToPath(new URL("./main.ts", import.meta.url));
if (major >= 24) {
  await import("./main.ts");
} else {
  const installed = fileURLToPath(new URL("../node_modules/.bin/node", import.meta.url));
  if (!existsSync(installed)) {
    console.error(
      `Cannot run weir: this is Node ${process.versions.node}, and Node 24 is not in node_modules; run "npm ci" first, or use Node 24`,
    );
    process.exit(1);
  }
  const child = spawn(installed, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  // Ctrl-C reaches the whole terminal group; what is sent to this process alone is handed on.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal));
  }
  child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));
}
