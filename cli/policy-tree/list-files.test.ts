import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { FindingList } from "./finding.ts";
import { listFiles } from "./list-files.ts";
import { writeTree } from "./tree.fixture.ts";

function list(root: string): { files: string[]; findings: string[] } {
  const findings = new FindingList();
  const files = listFiles(root, findings.report);
  return {
    files: files.map(({ file }) => file.slice(root.length + 1)),
    findings: findings.list(root).map(({ file, line, rule }) => {
      return `${file.slice(root.length + 1)}${line === undefined ? "" : `:${line}`} ${rule}`;
    }),
  };
}

describe("listFiles()", () => {
  it("finds YAML and JSON below a folder in the order of their paths, and nothing else", () => {
    const root = writeTree({
      "b.yaml": "",
      "a/z.yml": "",
      "a/b/c.JSON": "{}",
      "README.md": "",
      "b.yaml.orig": "",
      ".git/config.yaml": "",
      "a/.hidden.yaml": "",
    });

    expect(list(root)).toEqual({ files: ["a/b/c.JSON", "a/z.yml", "b.yaml"], findings: [] });
  });

  it("reads a single file, whatever it is called", () => {
    const root = writeTree({ policy: "organisation: a" });

    expect(listFiles(join(root, "policy"), new FindingList().report)).toMatchObject([{ text: "organisation: a" }]);
  });

  it("throws when there is nothing at the path", () => {
    expect(() => listFiles("/nowhere/at/all", new FindingList().report)).toThrow(/ENOENT/);
  });

  it("finds fault with a folder without a policy", () => {
    expect(list(writeTree({ "README.md": "" }))).toEqual({ files: [], findings: [" TREE_EMPTY"] });
  });

  it("follows a link to a file of the tree, as a mounted ConfigMap has it, and none that leaves it or leads to a folder", () => {
    const outside = writeTree({ "stranger.yaml": "organisation: other" });
    const root = writeTree({ "..data/policy.yaml": "", "sub/own.yaml": "" });
    symlinkSync(join("..data", "policy.yaml"), join(root, "policy.yaml"));
    symlinkSync(join(outside, "stranger.yaml"), join(root, "stranger.yaml"));
    const beside = `${root}-beside`;
    onTestFinished(() => rmSync(beside, { recursive: true }));
    mkdirSync(beside);
    writeFileSync(join(beside, "neighbour.yaml"), "organisation: other");
    symlinkSync(join(beside, "neighbour.yaml"), join(root, "neighbour.yaml"));
    symlinkSync(outside, join(root, "folder"));
    symlinkSync("sub", join(root, "inside"));
    symlinkSync("nowhere", join(root, "broken.yaml"));
    symlinkSync("circle.yaml", join(root, "circle.yaml"));

    expect(list(root)).toEqual({
      files: ["policy.yaml", "sub/own.yaml"],
      findings: [
        "broken.yaml FILE_UNREADABLE",
        "circle.yaml FILE_UNREADABLE",
        "folder LINK_REFUSED",
        "inside LINK_REFUSED",
        "neighbour.yaml LINK_REFUSED",
        "stranger.yaml LINK_REFUSED",
      ],
    });
  });

  it("names the line that is not UTF-8, and takes a byte order mark away", () => {
    const latin1 = Buffer.from("organisation: a\n# Zürich\n", "latin1");
    const root = writeTree({ "latin1.yaml": latin1, "marked.yaml": "\uFEFForganisation: a" });

    expect(list(root)).toEqual({ files: ["marked.yaml"], findings: ["latin1.yaml:2 ENCODING_INVALID"] });
    const [marked] = listFiles(root, new FindingList().report);
    expect(marked?.text).toBe("organisation: a");
  });

  it("reads no file, no tree and no nesting that is too large", () => {
    const root = writeTree({ "large.yaml": Buffer.alloc(1024 * 1024 + 1, " "), "small.yaml": "" });
    expect(list(root)).toEqual({ files: ["small.yaml"], findings: ["large.yaml FILE_TOO_LARGE"] });

    const files = Array.from({ length: 9 }, (_, index) => [`${index}.yaml`, Buffer.alloc(1024 * 1024, " ")]);
    const many = list(writeTree(Object.fromEntries(files)));
    expect(many.files).toHaveLength(8);
    expect(many.findings).toEqual(["8.yaml TREE_TOO_LARGE"]);

    const deep = list(writeTree({ [`${"d/".repeat(20)}policy.yaml`]: "" }));
    expect(deep.findings[0]).toMatch(/^(d\/){15}d TREE_TOO_DEEP$/);

    const crowded = writeTree({});
    mkdirSync(join(crowded, "sub"));
    for (let index = 0; index < 1_002; index++) writeFileSync(join(crowded, "sub", `${index}.yaml`), "");
    expect(list(crowded).findings.map((finding) => finding.split(" ")[1])).toEqual(["TREE_TOO_LARGE"]);
  });
});
