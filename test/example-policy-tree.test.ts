import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readPolicyTree } from "../cli/policy-tree/read-policy-tree.ts";
import { checkPolicy } from "../services/policy/compilation/check-policy.ts";

describe("deploy/policy", () => {
  it("is a policy without findings, in files as cli/README.md shows them", () => {
    const tree = readPolicyTree(join(import.meta.dirname, "..", "deploy", "policy"));

    expect(tree.findings).toEqual([]);
    expect(checkPolicy(tree.policy)).toEqual([]);
    expect(tree.policy.organisations).toMatchObject([
      { id: "acme", teams: [{ id: "search" }, { id: "shop" }] },
      { id: "partner", teams: [{ id: "integration" }] },
    ]);
  });
});
