import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../shared/telemetry/log.ts";
import { readCredentialFiles } from "./read-files.ts";

let folder: string;
let lines: string[];
const log = createLog({ service: "test", destination: { write: (line) => void lines.push(line) } });

const find = (name: string) => readCredentialFiles(folder, log)("acme", name)?.secret;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-credentials-"));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("readCredentialFiles()", () => {
  it("reads a file for each credential, without the line's end", () => {
    writeFileSync(join(folder, "openai"), "sk-1\n", { mode: 0o600 });

    expect(find("openai")).toBe("sk-1");
    expect(lines).toEqual([]);
  });

  it("takes a JSON object, however it is laid out", () => {
    writeFileSync(join(folder, "aws"), '{\n  "accessKeyId": "A",\n  "secretAccessKey": "b"\n}\n', { mode: 0o600 });

    expect(find("aws")).toBe('{"accessKeyId":"A","secretAccessKey":"b"}');
  });

  it("leaves out what is no credential, and quotes none of it", () => {
    writeFileSync(join(folder, "empty"), "", { mode: 0o600 });
    writeFileSync(join(folder, "two-lines"), "secret-1\r\nx-evil: 1", { mode: 0o600 });
    writeFileSync(join(folder, "large"), "s".repeat(10_000), { mode: 0o600 });
    writeFileSync(join(folder, ".hidden"), "secret-2", { mode: 0o600 });
    mkdirSync(join(folder, "folder"));

    const names = ["empty", "two-lines", "large", ".hidden", "folder"];
    const credentials = readCredentialFiles(folder, log);
    expect(names.map((name) => credentials("acme", name))).toEqual(names.map(() => undefined));
    expect(lines.join("")).not.toContain("secret");
    expect(lines).toHaveLength(4);
  });

  it("warns of a file that others can read, and uses it", () => {
    writeFileSync(join(folder, "open"), "sk-1", { mode: 0o644 });

    expect(find("open")).toBe("sk-1");
    expect(lines.join("")).toContain("mode 0600");
  });

  it("takes a missing folder for an empty one", () => {
    expect(readCredentialFiles(join(folder, "nope"), log)("acme", "openai")).toBeUndefined();
  });
});
