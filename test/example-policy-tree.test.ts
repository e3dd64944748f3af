import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readPolicyTree } from "../cli/policy-tree/read-policy-tree.ts";
import { checkPolicy } from "../services/policy/compilation/check-policy.ts";

const ROOT = join(import.meta.dirname, "..");
const FOLDER = join(ROOT, "deploy", "policy");

describe("deploy/policy", () => {
  it("is a policy without findings, one organisation in several files", () => {
    const tree = readPolicyTree(FOLDER);

    expect(tree.findings).toEqual([]);
    expect(checkPolicy(tree.policy)).toEqual([]);
    expect(tree.policy.organisations).toMatchObject([
      { id: "acme", teams: [{ id: "search" }, { id: "shop" }] },
      { id: "partner", teams: [{ id: "integration" }] },
    ]);
  });

  it("has the files that cli/README.md shows", () => {
    const readme = readFileSync(join(ROOT, "cli", "README.md"), "utf8");
    const shown = /^deploy\/policy\/\n((?: {2}\S.*\n)+)/m.exec(readme)?.[1] ?? "";
    const names = shown
      .trimEnd()
      .split("\n")
      .map((line) => line.trim().split(/\s+/)[0]);

    expect(names).toEqual(globSync("**/*.yaml", { cwd: FOLDER }).sort());
  });
});
