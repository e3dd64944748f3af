// A process beside the supervisor that outlives it by a moment: when the supervisor is gone without a word (killed, crashed), the
// warden's standard input ends, and it ends all children that are left, in reverse order of their start. The services watch
// their own input; PostgreSQL and nats-server cannot, and this process does it for them.
//
// Input, one JSON line each: {"add": RunFile} when a child was started, {"remove": name} when it ended.
import { createInterface } from "node:readline";
import { endAll, type RunFile, removeRunFile } from "./run-file.ts";

const runDir = process.argv[2]!;
const children = new Map<string, RunFile>();

// It runs in a session of its own; signals meant for the mesh do not concern it. Only SIGKILL ends it before its input ends.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {});
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const message = JSON.parse(line) as { add?: RunFile; remove?: string };
  if (message.add) {
    children.set(message.add.name, message.add);
  }
  if (message.remove) {
    children.delete(message.remove);
  }
});
lines.on("close", async () => {
  await endAll([...children.values()]);
  for (const name of children.keys()) {
    removeRunFile(runDir, name);
  }
  removeRunFile(runDir, "warden");
  process.exit(0);
});
