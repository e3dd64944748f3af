import { describe, expect, it } from "vitest";
import { createSigner, generateNoteKey, isKeyName, parseSignerKey, parseVerifierKey } from "./key.ts";

// The example key of golang.org/x/mod/sumdb/note (note.go, v0.21.0).
const SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

describe("note keys", () => {
  it("a signer key of Go's sumdb/note yields its public key", () => {
    expect(parseSignerKey(SIGNER).verifierKey).toBe(VERIFIER);
    expect(parseSignerKey(` ${SIGNER}\n`).keyId).toBe(0xc74f20a3);
  });

  it("a verifier key of Go's sumdb/note is read and written back the same", () => {
    const verifier = parseVerifierKey(VERIFIER);
    expect(verifier).toMatchObject({ name: "PeterNeumann", keyId: 0xc74f20a3, encoded: VERIFIER });
  });

  it("a new key signs what its public half verifies, and nothing else", () => {
    const pair = generateNoteKey("weir.local/audit/eu");
    const message = Buffer.from("a message\n");
    const signature = parseSignerKey(pair.signerKey).sign(message);
    const verifier = parseVerifierKey(pair.verifierKey);
    expect(verifier.verify(message, signature)).toBe(true);
    expect(verifier.verify(Buffer.from("another message\n"), signature)).toBe(false);
    expect(verifier.verify(message, signature.subarray(1))).toBe(false);
    expect(parseVerifierKey(generateNoteKey("weir.local/audit/eu").verifierKey).verify(message, signature)).toBe(false);
  });

  it.each([
    ["no plus signs", "PeterNeumann"],
    ["no key", "PeterNeumann+c74f20a3"],
    ["an empty name", VERIFIER.replace("PeterNeumann", "")],
    ["another name under the same hash", VERIFIER.replace("Peter", "Pater")],
    ["a hash in capitals", VERIFIER.replace("c74f20a3", "C74F20A3")],
    ["a hash of another key", VERIFIER.replace("c74f20a3", "c74f20a4")],
    ["a short hash", VERIFIER.replace("c74f20a3", "c74f20a")],
    ["another signature type", VERIFIER.replace("+ARpc", "+AhpC")],
    ["a short key", VERIFIER.slice(0, -4)],
    ["a long key", `${VERIFIER}AAAA`],
    ["what is not base64", VERIFIER.replace("ARpc", "AR?c")],
    ["url-safe base64", VERIFIER.replace("qq/LDE", "qq_LDE")],
    ["no end", `${VERIFIER}${"A".repeat(100_000)}`],
  ])("a verifier key with %s is refused", (_, text) => {
    expect(() => parseVerifierKey(text)).toThrow(expect.objectContaining({ reason: "SETTING_INVALID" }));
  });

  it("a refused signer key is not repeated in the error", () => {
    const broken = SIGNER.replace("c74f20a3", "c74f20a4");
    try {
      parseSignerKey(broken);
      expect.unreachable();
    } catch (error) {
      expect(String(error)).not.toContain("AYEKFAL");
      expect(error).toMatchObject({ reason: "SETTING_INVALID" });
    }
  });

  it("a seed that is not 32 bytes makes no signer", () => {
    expect(() => createSigner("name", new Uint8Array(31))).toThrow(/31 bytes/);
  });

  it("a key name has no space of any kind and no plus sign", () => {
    expect(["weir.local/audit/eu", "é", "a-b"].every(isKeyName)).toBe(true);
    expect(["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\u0085b", "a\nb", "\ud800"].some(isKeyName)).toBe(false);
  });
});
