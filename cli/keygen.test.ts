import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { generateNoteKey, openNote, parseSignerKey, parseTrust, signNote } from "../services/shared/note/note.ts";
import { generateTrustRoot } from "./keygen.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-keygen-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const generate = () => generateTrustRoot({ directory: join(directory, "keys"), regions: ["eu", "us"] });

describe("generateTrustRoot()", () => {
  it("makes keys that only their owner can read, and trust files in which each is found", () => {
    const root = generate();

    const trusted = parseTrust(readFileSync(root.trust, "utf8"));
    for (const path of [root.policyKey, ...["control", "eu", "us"].map(root.auditKey)]) {
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const signer = parseSignerKey(readFileSync(path, "utf8").trim());
      expect(openNote(signNote("text\n", signer), trusted).signatures[0]?.name).toBe(signer.name);
    }
    expect(trusted).toHaveLength(4);
  });

  it("lets routers trust policy alone, so that no audit log can sign a snapshot", () => {
    const root = generate();

    const names = parseTrust(readFileSync(root.routerTrust, "utf8")).map(({ name }) => name);
    expect(names).toEqual(["weir.local/policy"]);
  });

  it("keeps the keys that are there, and further keys in the trust files", () => {
    const first = generate();
    const before = readFileSync(first.policyKey, "utf8");
    const { verifierKey } = generateNoteKey("weir.local/policy-next");
    appendFileSync(first.routerTrust, `${verifierKey}\n`);

    const second = generate();

    expect(second.made).toEqual([]);
    expect(readFileSync(second.policyKey, "utf8")).toBe(before);
    expect(parseTrust(readFileSync(second.routerTrust, "utf8"))).toHaveLength(2);
  });
});
