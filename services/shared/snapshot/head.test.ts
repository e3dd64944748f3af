import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeHead, parseHead, type SignedHead } from "./head.ts";

const head: SignedHead = {
  kind: "snapshot",
  region: "eu",
  version: 42n,
  digest: new Uint8Array(32).fill(7),
  features: ["budgets", "waves"],
  issuedAt: new Date("2026-11-23T20:00:00.123Z"),
};
const TEXT = `weir/snapshot/eu
version 42
digest BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=
features budgets,waves
issued 2026-11-23T20:00:00.123Z
`;
const refused = expect.objectContaining({ reason: "SNAPSHOT_REFUSED" });

describe("head", () => {
  it("is five lines, written one way", () => {
    expect(encodeHead(head)).toBe(TEXT);
    expect(encodeHead({ ...head, features: ["waves", "budgets"] })).toBe(TEXT);
    expect(encodeHead({ ...head, features: [] })).toContain("\nfeatures -\n");
  });

  it("is read back as it was", () => {
    expect(parseHead(TEXT)).toEqual(head);
    const bare = { ...head, kind: "keyring", features: [] } as const;
    expect(parseHead(encodeHead(bare))).toEqual(bare);
  });

  it("any text that is read is the one text of its head", () => {
    fc.assert(
      fc.property(fc.nat(TEXT.length), fc.string({ maxLength: 3 }), fc.nat(3), (at, inserted, removed) => {
        const text = TEXT.slice(0, at) + inserted + TEXT.slice(at + removed);
        let read: SignedHead | undefined;
        try {
          read = parseHead(text);
        } catch (error) {
          expect(error).toEqual(refused);
          return;
        }
        expect(encodeHead(read)).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ["nothing", ""],
    ["another kind", TEXT.replace("snapshot", "secrets")],
    ["a region in capitals", TEXT.replace("/eu", "/EU")],
    ["version 0", TEXT.replace("42", "0")],
    ["a version with a zero before it", TEXT.replace("42", "042")],
    ["a version beyond int64", TEXT.replace("42", "9223372036854775808")],
    ["spare bits in its digest", TEXT.replace("Bwc=", "Bwd=")],
    ["a short digest", TEXT.replace("BwcH", "")],
    ["features out of order", TEXT.replace("budgets,waves", "waves,budgets")],
    ["a feature twice", TEXT.replace("budgets,waves", "waves,waves")],
    ["an empty feature", TEXT.replace("budgets,waves", "budgets,,waves")],
    ["65 features", TEXT.replace("budgets,waves", Array.from({ length: 65 }, (_, i) => `f${100 + i}`).join(","))],
    ["another spelling of its time", TEXT.replace(".123Z", ".1230Z")],
    ["a time that is none", TEXT.replace("11-23", "13-45")],
    ["a line more", `${TEXT}x\n`],
    ["no last newline", TEXT.slice(0, -1)],
    ["carriage returns", TEXT.replaceAll("\n", "\r\n")],
  ])("a head with %s is refused", (_, text) => {
    expect(() => parseHead(text)).toThrow(refused);
  });

  it("what would not be read is not written", () => {
    const bad = [{ version: 0n }, { digest: new Uint8Array(31) }, { region: "E" }, { issuedAt: new Date(Number.NaN) }];
    for (const changes of bad) {
      expect(() => encodeHead({ ...head, ...changes })).toThrow(
        expect.objectContaining({ reason: "ARGUMENT_INVALID" }),
      );
    }
  });
});
