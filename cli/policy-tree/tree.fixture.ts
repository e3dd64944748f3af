import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { FindingList } from "./finding.ts";
import { type PolicyTree, readFiles } from "./read-policy-tree.ts";

/** Writes files into a folder of their own, which is gone when the test has finished. Returns its path. */
export function writeTree(files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = mkdtempSync(join(tmpdir(), "weir-policy-tree-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return root;
}

/** Reads texts as the files of a policy named "policy". */
export function readTexts(files: Readonly<Record<string, string>>): PolicyTree {
  const list = Object.entries(files).map(([file, text]) => ({ file, text }));
  return readFiles("policy", list, new FindingList());
}

/** Findings as "file:line:column field RULE". */
export function listFindings({ findings }: Pick<PolicyTree, "findings">): string[] {
  return findings.map(({ file, line, column, field, rule }) => {
    const place = [file, line, column].filter((part) => part !== undefined).join(":");
    return [place, field, rule].filter((part) => part !== "").join(" ");
  });
}
