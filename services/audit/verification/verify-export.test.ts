import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateNoteKey, parseSignerKey, parseVerifierKey, signNote } from "../../shared/note/note.ts";
import { appendLeaves, computeRoot, EMPTY_EDGE } from "../merkle/append.ts";
import { formatCheckpoint } from "../merkle/checkpoint.ts";
import { hashLeaf } from "../merkle/hash.ts";
import { CHECKPOINTS_FILE, formatCheckpointLine, formatHeader, formatRecord, RECORDS_FILE } from "./export-format.ts";
import { verifyExport, verifyExportFolder } from "./verify-export.ts";
import { writeExport } from "./write-export.ts";

const ORIGIN = "weir.local/audit/eu";
const key = generateNoteKey(ORIGIN);
const signer = parseSignerKey(key.signerKey);
const us = generateNoteKey("weir.local/audit/us");
const trust = { verifiers: [parseVerifierKey(key.verifierKey), parseVerifierKey(us.verifierKey)] };

/** A log of small records with checkpoints at these sizes, as the lines of its two files. */
function makeLog(count: number, sizes: readonly number[], salt = "") {
  const records = Array.from({ length: count }, (_, index) => Buffer.from(`record ${index}${salt}`));
  const leaves = records.map(hashLeaf);
  const noteOf = (size: number, by = signer, origin = ORIGIN) => {
    const root = computeRoot(appendLeaves(EMPTY_EDGE, leaves.slice(0, size)).edge);
    return signNote(formatCheckpoint({ origin, size: BigInt(size), root }), by);
  };
  const recordLine = (index: number, record = records[index] ?? Buffer.alloc(0), leafHash = hashLeaf(record)) =>
    formatRecord({ index: BigInt(index), leafHash, record });
  return {
    noteOf,
    recordLine,
    recordLines: [formatHeader(ORIGIN), ...records.map((_, index) => recordLine(index))],
    checkpointLines: sizes.map((size) => formatCheckpointLine(noteOf(size))),
  };
}

const log = makeLog(9, [2, 5, 9]);

async function* chunks(bytes: Uint8Array, size = 61): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}
const join_ = (lines: readonly string[]) => Buffer.from(lines.map((line) => `${line}\n`).join(""));

/** Verifies an export given as lines or bytes. */
function verify(
  records: readonly string[] | Uint8Array = log.recordLines,
  checkpoints: readonly string[] | Uint8Array = log.checkpointLines,
  options: { remembered?: Uint8Array[]; origin?: string; verifiers?: typeof trust.verifiers } = {},
) {
  const bytes = (lines: readonly string[] | Uint8Array) => (lines instanceof Uint8Array ? lines : join_(lines));
  return verifyExport(
    { records: chunks(bytes(records)), checkpoints: chunks(bytes(checkpoints)) },
    { ...trust, ...options },
  );
}

/** The log's lines with one line replaced; without a line, removed. */
function edit(lines: readonly string[], index: number, ...replacement: string[]): string[] {
  return lines.toSpliced(index, 1, ...replacement);
}

describe("verifyExport()", () => {
  it("proves a whole log and says how large it is and how many checkpoints agree", async () => {
    expect(await verify()).toMatchObject({ kind: "proven", origin: ORIGIN, size: 9n, checkpoints: 3 });
  });

  it("an origin that could write over what the reader's terminal shows is refused, and not repeated", async () => {
    const spoof = "\u001b[2K\rPROVEN: weir.local/audit/eu";
    const verdict = await verify(edit(log.recordLines, 0, formatHeader(spoof)), log.checkpointLines, {
      origin: ORIGIN,
    });
    expect(verdict).toMatchObject({ fault: "MALFORMED" });
    expect(JSON.stringify(verdict, ["message"])).not.toContain("PROVEN");
  });

  it("a record whose bytes were changed is named", async () => {
    const forged = log.recordLine(6, Buffer.from("forged"), hashLeaf(Buffer.from("record 6")));
    expect(await verify(edit(log.recordLines, 7, forged))).toMatchObject({ fault: "CHANGED", index: 6n });
  });

  it("a record that was changed with its leaf hash is found between two checkpoints", async () => {
    const forged = log.recordLine(6, Buffer.from("forged"));
    expect(await verify(edit(log.recordLines, 7, forged))).toMatchObject({ fault: "CHANGED", index: 5n, end: 9n });
  });

  it("a record that was left out is named", async () => {
    expect(await verify(edit(log.recordLines, 4))).toMatchObject({ fault: "MISSING", index: 3n });
  });

  it("two records that changed places are named by the first", async () => {
    const moved = edit(edit(log.recordLines, 3, log.recordLines[4] as string), 4, log.recordLines[3] as string);
    expect(await verify(moved)).toMatchObject({ fault: "MISSING", index: 2n });
  });

  it("a record that stands twice is named", async () => {
    const line = log.recordLines[4] as string;
    expect(await verify(edit(log.recordLines, 4, line, line))).toMatchObject({ fault: "MISSING", index: 4n });
  });

  it("a cut end is missing what the last checkpoint covers", async () => {
    expect(await verify(log.recordLines.slice(0, -2))).toMatchObject({ fault: "MISSING", index: 7n, end: 9n });
  });

  it("records behind the last checkpoint are not proven", async () => {
    expect(await verify(log.recordLines, log.checkpointLines.slice(0, 2))).toMatchObject({
      fault: "UNPROVEN",
      index: 5n,
      end: 9n,
    });
  });

  it("an end that was cut off with its checkpoint is found by who remembers one", async () => {
    const cut = [log.recordLines.slice(0, 6), log.checkpointLines.slice(0, 2)] as const;
    expect(await verify(...cut)).toMatchObject({ kind: "proven", size: 5n });
    expect(await verify(...cut, { remembered: [log.noteOf(7)] })).toMatchObject({
      fault: "MISSING",
      index: 5n,
      end: 7n,
    });
  });

  it("another past than the remembered one is found, also at the size of a checkpoint", async () => {
    const other = makeLog(9, [], "!");
    expect(await verify(undefined, undefined, { remembered: [other.noteOf(4)] })).toMatchObject({
      fault: "CHANGED",
      index: 2n,
    });
    expect(await verify(undefined, undefined, { remembered: [other.noteOf(5)] })).toMatchObject({
      fault: "INCONSISTENT",
    });
    expect(await verify(undefined, undefined, { remembered: [log.noteOf(4)] })).toMatchObject({ checkpoints: 4 });
  });

  it("checkpoints that do not continue each other are found", async () => {
    const other = makeLog(9, [5], "!");
    const forked = edit(log.checkpointLines, 1, ...other.checkpointLines);
    expect(await verify(log.recordLines, forked)).toMatchObject({ fault: "CHANGED", index: 2n, end: 5n });
  });

  it("checkpoints must rise", async () => {
    const [a, b, c] = log.checkpointLines as [string, string, string];
    expect(await verify(log.recordLines, [b, a, c])).toMatchObject({ fault: "MALFORMED" });
    expect(await verify(log.recordLines, [a, a, b, c])).toMatchObject({ fault: "MALFORMED" });
  });

  it("the key of another log, though trusted for that one, proves nothing here", async () => {
    const note = log.noteOf(9, parseSignerKey(us.signerKey));
    expect(await verify(log.recordLines, [formatCheckpointLine(note)])).toMatchObject({ fault: "UNTRUSTED" });
  });

  it("a stranger's key of the same name proves nothing", async () => {
    const stranger = parseSignerKey(generateNoteKey(ORIGIN).signerKey);
    expect(await verify(log.recordLines, [formatCheckpointLine(log.noteOf(9, stranger))])).toMatchObject({
      fault: "UNTRUSTED",
    });
  });

  it("the export of another log than the expected one is refused", async () => {
    expect(await verify(undefined, undefined, { origin: "weir.local/audit/us" })).toMatchObject({ fault: "UNTRUSTED" });
    const header = edit(log.recordLines, 0, formatHeader("weir.local/audit/us"));
    expect(await verify(header)).toMatchObject({ fault: "UNTRUSTED" });
  });

  it("without a checkpoint nothing is proven", async () => {
    expect(await verify(log.recordLines, [])).toMatchObject({ fault: "UNPROVEN" });
  });

  it("absurd sizes are refused without work or memory", async () => {
    const huge = signNote(
      formatCheckpoint({ origin: ORIGIN, size: 2n ** 62n, root: hashLeaf(Buffer.alloc(0)) }),
      signer,
    );
    expect(await verify(log.recordLines, [formatCheckpointLine(huge)])).toMatchObject({ fault: "MALFORMED" });
    const large = signNote(
      formatCheckpoint({ origin: ORIGIN, size: 2n ** 59n, root: hashLeaf(Buffer.alloc(0)) }),
      signer,
    );
    expect(await verify(log.recordLines, [formatCheckpointLine(large)])).toMatchObject({ fault: "MISSING", index: 9n });
    expect(await verify([formatHeader(ORIGIN), "x".repeat(200_000)])).toMatchObject({ fault: "MALFORMED" });
    expect(await verify(log.recordLines, ["x".repeat(200_000)])).toMatchObject({ fault: "MALFORMED" });
  });

  it("every changed byte of both files is found", async () => {
    const small = makeLog(3, [2, 3]);
    const records = join_(small.recordLines);
    const checkpoints = join_(small.checkpointLines);
    expect(await verify(records, checkpoints)).toMatchObject({ kind: "proven" });

    const survivors: string[] = [];
    for (const [name, file] of Object.entries({ records, checkpoints })) {
      for (let at = 0; at < file.length; at++) {
        for (const flip of [0x01, 0x04, 0x20, 0x80]) {
          const bad = Buffer.from(file);
          bad[at] = (bad[at] ?? 0) ^ flip;
          const verdict = await verify(name === "records" ? bad : records, name === "records" ? checkpoints : bad);
          if (verdict.kind === "proven") survivors.push(`${name} byte ${at} ^ ${flip}`);
        }
      }
    }
    expect(survivors).toEqual([]);
  }, 60_000);

  it("every cut of both files is found, but the one that ends at an earlier checkpoint", async () => {
    const records = join_(log.recordLines);
    for (let length = 0; length < records.length; length++) {
      const verdict = await verify(records.subarray(0, length));
      expect(verdict.kind, `records cut to ${length}`).toBe("refused");
    }
    const checkpoints = join_(log.checkpointLines);
    for (let length = 0; length < checkpoints.length; length++) {
      const verdict = await verify(records, checkpoints.subarray(0, length));
      expect(verdict.kind, `checkpoints cut to ${length}`).toBe("refused");
    }
  }, 60_000);

  it.each([
    ["a space", (line: string) => line.replace(":", ": ")],
    ["a carriage return", (line: string) => `${line}\r`],
    ["a further field", (line: string) => line.replace("}", ',"more":1}')],
    ["a field twice", (line: string) => line.replace("{", '{"index":3,')],
    ["an escape", (line: string) => line.replace("index", "\\u0069ndex")],
    ["an exponent", (line: string) => line.replace(":3", ":3e0")],
    ["an index as text", (line: string) => line.replace(":3", ':"3"')],
    ["no padding", (line: string) => line.replace("=", "")],
    ["url-safe base64", (line: string) => line.replace(/[+/]/, "_")],
    ["nothing", () => ""],
    ["deep nesting", () => "[".repeat(100_000)],
  ])("a record line with %s is malformed", async (_, change) => {
    const line = log.recordLines[4] as string;
    const changed = change(line);
    if (changed === line) return;
    expect(await verify(edit(log.recordLines, 4, changed))).toMatchObject({ fault: "MALFORMED", index: 3n });
  });

  it("an export of many records is read in pieces of any size", async () => {
    const large = makeLog(300, [100, 300]);
    for (const size of [1, 7, 4096, 1_000_000]) {
      const source = {
        records: chunks(join_(large.recordLines), size),
        checkpoints: chunks(join_(large.checkpointLines), size),
      };
      expect(await verifyExport(source, trust)).toMatchObject({ kind: "proven", size: 300n });
    }
  });
});

describe("an export in a folder", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "weir-export-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  async function* records() {
    for (let index = 0; index < 3; index++) {
      const record = Buffer.from(`record ${index}`);
      yield { index: BigInt(index), leafHash: hashLeaf(record), record };
    }
  }
  async function* checkpoints() {
    yield log.noteOf(2);
    yield log.noteOf(3);
  }

  it("is proven as it was written, and never written over", async () => {
    const content = () => ({ origin: ORIGIN, records: records(), checkpoints: checkpoints() });
    await writeExport(folder, content());
    expect(await verifyExportFolder(folder, trust)).toMatchObject({ kind: "proven", size: 3n, checkpoints: 2 });
    await expect(writeExport(folder, content())).rejects.toMatchObject({ code: "EEXIST" });
  });

  it("is refused when a file is missing or changed on disk", async () => {
    const path = join(folder, RECORDS_FILE);
    const good = await readFile(path);
    const bad = Buffer.from(good);
    bad[good.length - 10] = (bad[good.length - 10] ?? 0) ^ 1;
    await writeFile(path, bad);
    expect(await verifyExportFolder(folder, trust)).toMatchObject({ kind: "refused" });

    await writeFile(path, good);
    await rm(join(folder, CHECKPOINTS_FILE));
    expect(await verifyExportFolder(folder, trust)).toMatchObject({ fault: "MISSING" });
    expect(await verifyExportFolder(join(folder, "nowhere"), trust)).toMatchObject({ fault: "MISSING" });
  });
});
