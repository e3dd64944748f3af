import { describe, expect, it } from "vitest";
import { hashLeaf } from "./hash.ts";
import { formatTlogProof, parseTlogProof } from "./tlog-proof.ts";

const HASHES = [hashLeaf(Buffer.from("a")), hashLeaf(Buffer.from("b"))];
const [A, B] = HASHES.map((hash) => Buffer.from(hash).toString("base64"));
const CHECKPOINT = Buffer.from("example.com/log\n9\nroot=\n\n— example.com/log AAAA\n");
const TEXT = `c2sp.org/tlog-proof@v1\nindex 5\n${A}\n${B}\n\n${CHECKPOINT}`;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe("tlog-proof", () => {
  it("has the form of the specification", () => {
    expect(text(formatTlogProof({ index: 5n, hashes: HASHES, checkpoint: CHECKPOINT }))).toBe(TEXT);
    expect(text(formatTlogProof({ index: 0n, hashes: [], checkpoint: CHECKPOINT }))).toBe(
      `c2sp.org/tlog-proof@v1\nindex 0\n\n${CHECKPOINT}`,
    );
  });

  it("is read back as it was written, extra data and checkpoint byte for byte", () => {
    const proof = { index: 5n, hashes: HASHES, checkpoint: CHECKPOINT, extra: Buffer.from([0, 255]) };
    const read = parseTlogProof(formatTlogProof(proof));
    expect(read.index).toBe(5n);
    expect(read.hashes.map(text)).toEqual(HASHES.map(text));
    expect(text(read.checkpoint)).toBe(text(CHECKPOINT));
    expect([...(read.extra ?? [])]).toEqual([0, 255]);
  });

  it.each([
    ["another version", TEXT.replace("@v1", "@v2")],
    ["no index", TEXT.replace("index 5\n", "")],
    ["a leading zero", TEXT.replace("index 5", "index 05")],
    ["a negative index", TEXT.replace("index 5", "index -5")],
    ["a second extra line", TEXT.replace("index 5", "extra AA==\nextra AA==\nindex 5")],
    ["extra data that is not base64", TEXT.replace("index 5", "extra ?\nindex 5")],
    ["a hash of 31 bytes", TEXT.replace(`${A}`, Buffer.alloc(31).toString("base64"))],
    ["carriage returns", TEXT.replaceAll("\n", "\r\n")],
    ["sixty-one hashes", TEXT.replace(`${A}\n`, `${A}\n`.repeat(60))],
    ["no checkpoint", `c2sp.org/tlog-proof@v1\nindex 5\n${A}\n`],
    ["a megabyte", TEXT + "x".repeat(1_000_000)],
    ["nothing", ""],
  ])("a text with %s is refused", (_, bad) => {
    expect(() => parseTlogProof(Buffer.from(bad))).toThrow(expect.objectContaining({ reason: "PROOF_REFUSED" }));
  });
});
