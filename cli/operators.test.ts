import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseOperators } from "../services/shared/authority/operators-file.ts";
import { hashKey } from "../services/shared/key/key.ts";
import { addAdminKey, ensureAdminKey } from "./operators.ts";

let folder: string;
let files: { readonly operators: string; readonly adminKey: string };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-operators-"));
  files = { operators: join(folder, "operators.yaml"), adminKey: join(folder, "keys", "admin.key") };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const known = () => parseOperators(readFileSync(files.operators, "utf8")).adminKeys;

describe("addAdminKey()", () => {
  it("writes the hash and the roles of a key, and not the key; what people wrote stays", () => {
    writeFileSync(
      files.operators,
      "# Ours.\nissuers:\n  - url: https://login.example.org # SSO\n    audiences: [weir]\n",
    );

    const { id, text } = addAdminKey(files.operators, {
      displayName: "ci",
      roles: ["PUBLISHER", "KEY_MANAGER"],
      organisation: "acme",
      environment: "staging",
      expiresAt: new Date("2027-01-31T00:00:00Z"),
    });

    const document = readFileSync(files.operators, "utf8");
    expect(document).toContain("# Ours.");
    expect(document).toContain("# SSO");
    expect(document).not.toContain(text);
    expect(known().get(id)).toEqual({
      id,
      sha256: Buffer.from(hashKey(text)),
      grants: [
        { role: "PUBLISHER", organisation: "acme", environment: "staging" },
        { role: "KEY_MANAGER", organisation: "acme", environment: "staging" },
      ],
      expiresAtMs: Date.UTC(2027, 0, 31),
    });
  });

  it("writes nothing when the document would be wrong", () => {
    const before = "issuers: []\n";
    writeFileSync(files.operators, before);

    expect(() => addAdminKey(files.operators, { displayName: "x", roles: ["VIEWER"], organisation: "No Id" })).toThrow(
      "organisation",
    );
    expect(readFileSync(files.operators, "utf8")).toBe(before);
  });
});

describe("ensureAdminKey()", () => {
  it("makes a key that only its owner may read, keeps it, and makes another when the document lacks it", () => {
    const made = ensureAdminKey(files);
    const kept = ensureAdminKey(files);
    const key = readFileSync(files.adminKey, "utf8");
    rmSync(files.operators);
    const again = ensureAdminKey(files);

    expect([made, kept, again]).toEqual([{ made: true }, { made: false }, { made: true }]);
    expect(statSync(files.adminKey).mode & 0o777).toBe(0o600);
    expect(readFileSync(files.adminKey, "utf8")).not.toBe(key);
    expect(known().size).toBe(1);
  });
});
