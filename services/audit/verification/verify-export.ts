import { createReadStream } from "node:fs";
import { join } from "node:path";
import { appendLeaves, computeRoot, type Edge, EMPTY_EDGE } from "../merkle/append.ts";
import type { Checkpoint } from "../merkle/checkpoint.ts";
import { hashLeaf, isSameHash } from "../merkle/hash.ts";
import {
  CHECKPOINTS_FILE,
  LINE_LIMIT,
  parseCheckpointLine,
  parseHeader,
  parseRecord,
  RECORDS_FILE,
} from "./export-format.ts";
import { readLines } from "./lines.ts";
import { openCheckpoint, type Trust } from "./trusted-checkpoint.ts";
import { type Proven, Refusal, toVerdict, type Verdict } from "./verdict.ts";

/** The two files of an export, as bytes. */
export interface ExportSource {
  readonly records: AsyncIterable<Uint8Array>;
  readonly checkpoints: AsyncIterable<Uint8Array>;
}

/** What a verifier of an export believes and remembers. */
export interface ExportTrust extends Trust {
  /**
   * Checkpoints (signed notes) that the verifier has kept from before or got another way. Each must be a stage of this very log:
   * this is what finds an export whose end was cut off together with its checkpoints. Default none.
   */
  readonly remembered?: readonly Uint8Array[];
}

/** Verifies the export in a folder. As `verifyExport`; a file that can't be read refuses it as MISSING. */
export async function verifyExportFolder(folder: string, trust: ExportTrust): Promise<Verdict> {
  return await verifyExport(
    { records: openFile(join(folder, RECORDS_FILE)), checkpoints: openFile(join(folder, CHECKPOINTS_FILE)) },
    trust,
  );
}

/**
 * Verifies offline that an export holds every record of a log, from the first to the one its last checkpoint covers, each as it was
 * signed: it builds the tree anew from the records' bytes and compares its root with each checkpoint on the way, which also shows
 * that the checkpoints continue each other. Reads each file once, from front to back, in memory that does not grow.
 */
export async function verifyExport(source: ExportSource, trust: ExportTrust): Promise<Verdict> {
  return await toVerdict(async () => {
    const records = readLines(readFile(source.records, RECORDS_FILE), RECORDS_FILE, LINE_LIMIT);
    try {
      const header = await records.next();
      if (header.done) throw new Refusal("MISSING", `Cannot read export: ${RECORDS_FILE} is empty`);
      const origin = parseHeader(header.value);
      if (trust.origin !== undefined && origin !== trust.origin) {
        throw new Refusal("UNTRUSTED", `Cannot trust export: it is of "${origin}", not "${trust.origin}"`);
      }
      return await followLog(records, source.checkpoints, { ...trust, origin });
    } finally {
      await records.return();
    }
  });
}

/** Walks through the records and stops at each checkpoint to compare. */
async function followLog(
  records: AsyncIterable<Uint8Array>,
  checkpoints: AsyncIterable<Uint8Array>,
  trust: ExportTrust & { readonly origin: string },
): Promise<Proven> {
  const stages = readStages(checkpoints, trust);
  try {
    return await walk(records, stages, trust.origin);
  } finally {
    await stages.return();
  }
}

async function walk(
  records: AsyncIterable<Uint8Array>,
  stages: AsyncGenerator<Checkpoint, void, void>,
  origin: string,
): Promise<Proven> {
  let edge: Edge = EMPTY_EDGE;
  let proven: Checkpoint | undefined;
  let count = 0;
  let next = await stages.next();
  for await (const line of records) {
    const { leafHash, record } = parseRecord(line, edge.size);
    if (!isSameHash(hashLeaf(record), leafHash)) {
      throw new Refusal("CHANGED", `Cannot prove record ${edge.size}: its bytes are not those that were hashed`, {
        index: edge.size,
      });
    }
    edge = appendLeaves(edge, [leafHash]).edge;
    while (!next.done && next.value.size === edge.size) {
      compare(next.value, computeRoot(edge), proven);
      proven = next.value;
      count++;
      next = await stages.next();
    }
  }
  if (!next.done) {
    const message = `Cannot find record ${edge.size}: the export ends, a checkpoint covers ${next.value.size} records`;
    throw new Refusal("MISSING", message, { index: edge.size, end: next.value.size });
  }
  if (!proven) throw new Refusal("UNPROVEN", "Cannot prove export: it has no checkpoint");
  if (edge.size > proven.size) {
    const message = `Cannot prove record ${proven.size}: it stands behind the last checkpoint`;
    throw new Refusal("UNPROVEN", message, { index: proven.size, end: edge.size });
  }
  return { kind: "proven", origin, size: proven.size, root: proven.root, checkpoints: count };
}

function compare(stage: Checkpoint, root: Uint8Array, proven: Checkpoint | undefined): void {
  if (isSameHash(root, stage.root)) return;
  const first = proven?.size ?? 0n;
  if (first === stage.size) {
    throw new Refusal("INCONSISTENT", `Cannot trust log: two checkpoints of ${first} records have different roots`);
  }
  const range = `of the records ${first} to ${stage.size - 1n}`;
  throw new Refusal("CHANGED", `Cannot prove records: at least one ${range} is not the one that was signed`, {
    index: first,
    end: stage.size,
  });
}

/** The checkpoints of the file, which must rise, with the remembered ones in their places. */
async function* readStages(
  file: AsyncIterable<Uint8Array>,
  trust: ExportTrust,
): AsyncGenerator<Checkpoint, void, void> {
  const remembered = (trust.remembered ?? []).map((note) => openCheckpoint(note, trust));
  remembered.sort((a, b) => (a.size < b.size ? -1 : a.size > b.size ? 1 : 0));
  let last: Checkpoint | undefined;
  let number = 0;
  for await (const line of readLines(readFile(file, CHECKPOINTS_FILE), CHECKPOINTS_FILE, LINE_LIMIT)) {
    number++;
    const checkpoint = openCheckpoint(parseCheckpointLine(line, number), trust);
    if (checkpoint.size <= (last?.size ?? 0n)) {
      throw new Refusal("MALFORMED", `Cannot read export: line ${number} of ${CHECKPOINTS_FILE} is out of order`);
    }
    while (remembered[0] && remembered[0].size < checkpoint.size) yield remembered.shift() as Checkpoint;
    yield checkpoint;
    last = checkpoint;
  }
  yield* remembered;
}

async function* readFile(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* chunks;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    throw new Refusal("MISSING", `Cannot read export: ${name} can't be read (${code})`);
  }
}

/** Opens the file when the first byte is asked for, and closes it with the iteration: a file nobody reads is never open. */
async function* openFile(path: string): AsyncGenerator<Uint8Array, void, void> {
  yield* createReadStream(path);
}
