import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findSignedBy, isMarked, markSigner, mayBeMarked, readMarked, writeMarked } from "./reasoning-mark.ts";

const signature = fc.base64String({ minLength: 4 }).filter((text) => !text.startsWith("gAAAA"));

describe("a signature", () => {
  it("goes back to its maker byte for byte, and to nobody else", () => {
    fc.assert(
      fc.property(signature, (text) => {
        for (const signer of ["google", "openai"] as const) {
          const marked = markSigner(signer, text);
          expect(findSignedBy(signer, marked)).toBe(text);
          expect(findSignedBy("anthropic", marked)).toBe("");
          expect(findSignedBy(signer === "google" ? "openai" : "google", marked)).toBe("");
        }
        expect(findSignedBy("anthropic", text)).toBe(text);
        expect(findSignedBy("google", text)).toBe("");
      }),
    );
  });

  it("is none of Anthropic's when it looks like OpenAI's", () => {
    expect(findSignedBy("anthropic", "gAAAAABoZW")).toBe("");
  });

  it("is never made of nothing", () => {
    expect(markSigner("google", "")).toBe("");
  });
});

describe("what is written in a format without a place for it", () => {
  it("is read again, signed, hidden or neither", () => {
    fc.assert(
      fc.property(fc.constantFrom("", "~weir-google:"), fc.base64String(), fc.boolean(), (mark, text, isHidden) => {
        const value = isHidden
          ? { signature: "", redacted: mark + text }
          : { signature: text === "" ? "" : mark + text, redacted: "" };
        const written = writeMarked(value);
        expect(readMarked(written)).toEqual(value);
        expect(isMarked(written)).toBe(true);
        expect(mayBeMarked(Buffer.from(`{"a":"${written}"}`))).toBe(true);
      }),
    );
  });

  it("is not found where Weir wrote nothing", () => {
    expect(readMarked("gAAAAABo")).toBeUndefined();
    expect(isMarked(undefined)).toBe(false);
    expect(mayBeMarked(Buffer.from("~ weir-"))).toBe(false);
  });
});
