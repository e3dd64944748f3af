import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findDifferences } from "./generate.ts";
import { printFile } from "./print-file.ts";
import { findProtoNotes } from "./release.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "weir-generate-test-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

describe("findDifferences()", () => {
  it("names each missing, stray and stale file and no other", async () => {
    await write("expected/a/missing.ts", "1");
    await write("expected/same.ts", "1");
    await write("actual/same.ts", "1");
    await write("expected/stale.ts", "1");
    await write("actual/stale.ts", "2");
    await write("actual/stray.ts", "1");

    const differences = await findDifferences(join(folder, "expected"), join(folder, "actual"));

    expect(differences).toEqual([
      { path: "a/missing.ts", state: "missing" },
      { path: "stale.ts", state: "stale" },
      { path: "stray.ts", state: "stray" },
    ]);
  });

  it("takes a folder that does not exist as empty", async () => {
    await write("expected/a.ts", "1");

    const differences = await findDifferences(join(folder, "expected"), join(folder, "actual"));

    expect(differences).toEqual([{ path: "a.ts", state: "missing" }]);
  });
});

describe("printFile()", () => {
  it("prints protovalidate's extension of field options with its number", () => {
    const text = printFile(file_buf_validate_validate.proto);

    expect(text).toContain(
      "extend .google.protobuf.FieldOptions {\n  optional .buf.validate.FieldRules field = 1159;\n}",
    );
  });
});

describe("findProtoNotes()", () => {
  it.each(["", "# Changelog\n", "## Unreleased\n\n## 0.1\n\n### Protos\n- Old.\n"])(
    "finds nothing in %j",
    (changelog) => {
      expect(findProtoNotes(changelog)).toBe("");
    },
  );

  it("reads only what is said of protos in the unreleased section", () => {
    const changelog =
      "# Changelog\n\n## Unreleased\n\n### Added\n- Other.\n\n### Protos\n- New.\n\n## 0.1\n\n### Protos\n- Old.\n";

    expect(findProtoNotes(changelog)).toBe("- New.");
  });
});
