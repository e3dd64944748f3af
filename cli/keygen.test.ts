import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRecipients, parseRegionKeys } from "../services/shared/credential/region-key.ts";
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

  it("gives each region a key of its own, and everyone the public half", () => {
    const root = generate();

    const recipients = parseRecipients(readFileSync(root.recipients, "utf8"));
    for (const region of ["eu", "us"]) {
      expect(statSync(root.regionKey(region)).mode & 0o777).toBe(0o600);
      const [key] = parseRegionKeys(readFileSync(root.regionKey(region), "utf8"), region);
      expect(recipients.get(region)?.keyId).toBe(key?.keyId);
    }
    expect(recipients.get("eu")?.keyId).not.toBe(recipients.get("us")?.keyId);
  });

  it("renews a region's key beside the old one, which goes on opening, and seals with the new one from then on", () => {
    const first = generate();
    const [old] = parseRegionKeys(readFileSync(first.regionKey("eu"), "utf8"), "eu");
    const us = readFileSync(first.regionKey("us"), "utf8");

    const renewed = generateTrustRoot({
      directory: join(directory, "keys"),
      regions: ["eu", "us"],
      renewedRegions: ["eu"],
    });

    const keys = parseRegionKeys(readFileSync(renewed.regionKey("eu"), "utf8"), "eu");
    expect(renewed.made).toEqual(["weir.local/region/eu"]);
    expect(keys.map(({ keyId }) => keyId)).toEqual([old?.keyId, expect.any(String)]);
    expect(parseRecipients(readFileSync(renewed.recipients, "utf8")).get("eu")?.keyId).toBe(keys[1]?.keyId);
    expect(readFileSync(renewed.regionKey("us"), "utf8")).toBe(us);
  });
});
