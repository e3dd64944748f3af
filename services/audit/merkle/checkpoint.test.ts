import { describe, expect, it } from "vitest";
import { formatCheckpoint, parseCheckpoint } from "./checkpoint.ts";
import { EMPTY_ROOT } from "./hash.ts";

// The example of c2sp.org/tlog-checkpoint.
const EXAMPLE = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
const EMPTY = Buffer.from(EMPTY_ROOT).toString("base64");

describe("checkpoint", () => {
  it("the specification's example is read and written back the same", () => {
    const checkpoint = parseCheckpoint(EXAMPLE);
    expect(checkpoint).toMatchObject({ origin: "example.com/behind-the-sofa", size: 20852163n });
    expect(formatCheckpoint(checkpoint)).toBe(EXAMPLE);
  });

  it("the empty tree has a checkpoint, with its own root only", () => {
    expect(parseCheckpoint(`o\n0\n${EMPTY}\n`).size).toBe(0n);
    expect(() => parseCheckpoint(EXAMPLE.replace("20852163", "0"))).toThrow(/empty tree/);
  });

  it.each([
    ["an extension line", `${EXAMPLE}more\n`],
    ["no final newline", EXAMPLE.trimEnd()],
    ["no origin", EXAMPLE.replace("example.com/behind-the-sofa", "")],
    ["a space in its origin", EXAMPLE.replace("-the-", " the ")],
    ["a leading zero", EXAMPLE.replace("2085", "02085")],
    ["a sign", EXAMPLE.replace("2085", "-2085")],
    ["a size of 2^61", EXAMPLE.replace("20852163", (2n ** 61n).toString())],
    ["a size of a million digits", EXAMPLE.replace("20852163", "9".repeat(1_000_000))],
    ["url-safe base64", EXAMPLE.replace("om/Xajj", "om_Xajj")],
    ["a short root", EXAMPLE.replace("CsUY", "")],
    ["stray bits in its root", EXAMPLE.replace("q2I=", "q2J=")],
    ["nothing", ""],
  ])("a text with %s is refused", (_, text) => {
    expect(() => parseCheckpoint(text)).toThrow(expect.objectContaining({ reason: "PROOF_REFUSED" }));
  });
});
