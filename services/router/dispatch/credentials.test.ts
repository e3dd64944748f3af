import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../shared/telemetry/log.ts";
import { readCredentials } from "./credentials.ts";

let folder: string;
let lines: string[];
const log = createLog({ service: "test", destination: { write: (line) => void lines.push(line) } });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-credentials-"));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("readCredentials()", () => {
  it("reads a file for each credential, without the line's end", () => {
    writeFileSync(join(folder, "openai"), "sk-1\n", { mode: 0o600 });

    expect([...readCredentials(folder, log)]).toEqual([["openai", "sk-1"]]);
    expect(lines).toEqual([]);
  });

  it("takes a JSON object, however it is laid out", () => {
    writeFileSync(join(folder, "aws"), '{\n  "accessKeyId": "A",\n  "secretAccessKey": "b"\n}\n', { mode: 0o600 });

    expect(readCredentials(folder, log).get("aws")).toBe('{"accessKeyId":"A","secretAccessKey":"b"}');
  });

  it("leaves out what is no credential, and quotes none of it", () => {
    writeFileSync(join(folder, "empty"), "", { mode: 0o600 });
    writeFileSync(join(folder, "two-lines"), "secret-1\r\nx-evil: 1", { mode: 0o600 });
    writeFileSync(join(folder, "large"), "s".repeat(10_000), { mode: 0o600 });
    writeFileSync(join(folder, ".hidden"), "secret-2", { mode: 0o600 });
    mkdirSync(join(folder, "folder"));

    expect([...readCredentials(folder, log)]).toEqual([]);
    expect(lines.join("")).not.toContain("secret");
    expect(lines).toHaveLength(4);
  });

  it("warns of a file that others can read, and uses it", () => {
    writeFileSync(join(folder, "open"), "sk-1", { mode: 0o644 });

    expect(readCredentials(folder, log).get("open")).toBe("sk-1");
    expect(lines.join("")).toContain("mode 0600");
  });

  it("takes a missing folder for an empty one", () => {
    expect(readCredentials(join(folder, "nope"), log).size).toBe(0);
    expect(readCredentials(undefined, log).size).toBe(0);
  });
});
