import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { writeSecretFile } from "./secret-file.ts";

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "weir-secret-file-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

it("writeSecretFile() lets nobody but the owner read it, whatever lay where it is written first", () => {
  const path = join(makeFolder(), "session.json");
  writeFileSync(`${path}.new`, "of a write that was cut off", { mode: 0o644 });

  writeSecretFile(path, "secret");

  expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual(["secret", 0o600]);
});

it("writeSecretFile() follows no link that somebody has put there", () => {
  const folder = makeFolder();
  const elsewhere = join(folder, "elsewhere");
  symlinkSync(elsewhere, join(folder, "session.json.new"));

  writeSecretFile(join(folder, "session.json"), "secret");

  expect([existsSync(elsewhere), readFileSync(join(folder, "session.json"), "utf8")]).toEqual([false, "secret"]);
});
