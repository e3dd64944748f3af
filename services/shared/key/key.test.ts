import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKey, hashKey, parseKey } from "./key.ts";

/** Made once and kept: the format must not drift, or every key in use becomes malformed. */
const KNOWN = "weir_production_abcdefghij27_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_mtqvc5";

describe("createKey()", () => {
  it("makes a key that parses to its own id and environment", () => {
    const key = createKey("production");

    expect(parseKey(key.text)).toEqual({ environment: "production", keyId: key.keyId });
  });

  it("keeps the SHA-256 of the whole text", () => {
    const key = createKey("test");

    expect(key.sha256).toEqual(hashKey(key.text));
    expect(key.sha256).toHaveLength(32);
  });

  it("never makes the same key twice", () => {
    const texts = Array.from({ length: 200 }, () => createKey("a").text);

    expect(new Set(texts).size).toBe(200);
  });

  it.each(["", "Production", "a_b", "-a", "a".repeat(33)])("refuses the environment %j", (environment) => {
    expect(() => createKey(environment)).toThrow("Cannot create key");
  });

  it("fits the longest environment", () => {
    expect(parseKey(createKey("e".repeat(32)).text)?.environment).toBe("e".repeat(32));
  });
});

describe("parseKey()", () => {
  it("knows the check of a known key", () => {
    expect(parseKey(KNOWN)).toEqual({ environment: "production", keyId: "abcdefghij27" });
  });

  it("reads a secret that holds underscores and hyphens", () => {
    const found = Array.from({ length: 500 }, () => createKey("a-b")).filter(({ text }) => /_.*_.*_.*_.*_/.test(text));

    expect(found.length).toBeGreaterThan(0);
    for (const { text, keyId } of found) expect(parseKey(text)?.keyId).toBe(keyId);
  });

  it("refuses a key with any one character changed", () => {
    const { text } = createKey("production");

    for (let index = 0; index < text.length; index++) {
      const other = text[index] === "x" ? "y" : "x";
      expect(parseKey(text.slice(0, index) + other + text.slice(index + 1))).toBeUndefined();
    }
  });

  it.each(["", "weir", "sk-123", `${"a".repeat(100_000)}`, "weir____", "weir_a_abcdefghij27__000000"])(
    "refuses %.40j",
    (text) => {
      expect(parseKey(text)).toBeUndefined();
    },
  );

  it("never throws, whatever comes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(parseKey(text)).toBeUndefined();
        expect(parseKey(`weir_${text}`)).toBeUndefined();
      }),
    );
  });
});
