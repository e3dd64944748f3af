import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { findProcess } from "../../services/shared/process-identity.ts";
import { findChildren } from "./process-tree.ts";

it("findChildren() lists the children of a process, and none of a later one that got its pid", async () => {
  const child = spawn("sleep", ["60"]);
  await once(child, "spawn");
  const own = findProcess(process.pid)!;

  expect(findChildren(own).map(({ pid }) => pid)).toContain(child.pid);
  expect(findChildren({ ...own, startTicks: "1" })).toEqual([]);

  child.kill();
  await once(child, "exit");
});
