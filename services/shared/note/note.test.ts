import { describe, expect, it } from "vitest";
import { generateNoteKey, openNote, parseSignerKey, parseVerifierKey, signNote } from "./note.ts";

// The example of golang.org/x/mod/sumdb/note (note.go, v0.21.0); Ed25519 is deterministic, so the bytes must be the same.
const SIGNER = parseSignerKey("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz");
const VERIFIER = parseVerifierKey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
const TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE =
  "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const NOTE = `${TEXT}\n${SIGNATURE}`;
const refused = expect.objectContaining({ reason: "PROOF_REFUSED" });

function open(note: string | Uint8Array, verifiers = [VERIFIER]) {
  return openNote(typeof note === "string" ? Buffer.from(note) : note, verifiers);
}

describe("signed note", () => {
  it("signing gives the bytes that Go's sumdb/note gives", () => {
    expect(Buffer.from(signNote(TEXT, SIGNER)).toString()).toBe(NOTE);
  });

  it("opening returns the text and who signed it", () => {
    expect(open(NOTE)).toEqual({ text: TEXT, signatures: [{ name: "PeterNeumann", keyId: 0xc74f20a3 }] });
  });

  it("any changed byte is refused", () => {
    const good = Buffer.from(NOTE);
    for (let index = 0; index < good.length; index++) {
      for (const flip of [0x01, 0x20, 0x80]) {
        const bad = Buffer.from(good);
        bad[index] = (bad[index] ?? 0) ^ flip;
        expect(() => open(bad), `byte ${index} ^ ${flip}`).toThrow(refused);
      }
    }
  });

  it("a cut note is refused at every length", () => {
    const good = Buffer.from(NOTE);
    for (let length = 0; length < good.length; length++) {
      expect(() => open(good.subarray(0, length)), `length ${length}`).toThrow(refused);
    }
  });

  it("a note without a trusted signature is refused", () => {
    const stranger = parseVerifierKey(generateNoteKey("PeterNeumann").verifierKey);
    expect(() => open(NOTE, [stranger])).toThrow(refused);
    expect(() => open(NOTE, [])).toThrow(refused);
  });

  it("signatures of unknown keys are skipped, one of a known key that is wrong is not", () => {
    const stranger = parseSignerKey(generateNoteKey("stranger.example").signerKey);
    const strangers = Buffer.from(signNote(TEXT, stranger))
      .toString()
      .slice(TEXT.length + 1);
    expect(open(NOTE + strangers).signatures).toHaveLength(1);
    const wrong = SIGNATURE.replace("SffcvI", "SffcvJ");
    expect(() => open(NOTE + wrong)).toThrow(refused);
  });

  it("keys in rotation: a note signed by the new key opens with both in the trust", () => {
    const next = generateNoteKey("PeterNeumann");
    const note = signNote(TEXT, parseSignerKey(next.signerKey));
    expect(open(note, [VERIFIER, parseVerifierKey(next.verifierKey)]).signatures).toHaveLength(1);
  });

  it("a repeated signature counts once, and sixteen signatures are accepted", () => {
    expect(open(NOTE + SIGNATURE.repeat(15)).signatures).toHaveLength(1);
    expect(() => open(NOTE + SIGNATURE.repeat(64))).toThrow(refused);
  });

  it("the text may hold blank lines: the last one separates", () => {
    const text = "one\n\ntwo\n";
    expect(open(signNote(text, SIGNER)).text).toBe(text);
  });

  it.each([
    ["no final newline", "text"],
    ["a carriage return", "text\r\n"],
    ["a NUL", "te\0xt\n"],
    ["a lone surrogate", "te\ud800xt\n"],
    ["nothing", ""],
  ])("a text with %s is not signed", (_, text) => {
    expect(() => signNote(text, SIGNER)).toThrow(refused);
  });

  it.each([
    ["a hyphen for the dash", NOTE.replace("— ", "- ")],
    ["a space more", NOTE.replace("Neumann ", "Neumann  ")],
    ["white space at its end", NOTE.replace("nAM=\n", "nAM= \n")],
    ["no padding", NOTE.replace("nAM=", "nAM")],
    ["text after its signatures", `${NOTE}more\n`],
    ["no signatures", `${TEXT}\n`],
    ["no text", `\n${SIGNATURE}`],
    ["a byte order mark", `\ufeff${NOTE}`],
    ["a megabyte", NOTE + "x".repeat(1_000_000)],
  ])("a note with %s is refused", (_, note) => {
    expect(() => open(note)).toThrow(refused);
  });
});
