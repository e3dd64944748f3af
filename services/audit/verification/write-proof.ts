import { createReadStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatTlogProof, type TlogProof } from "../merkle/tlog-proof.ts";
import type { RecordProof } from "./verify-record.ts";

/** Ending of a file that holds a proof (c2sp.org/tlog-proof). */
const PROOF_ENDING = ".tlog-proof";
/** Ending of the file beside it that holds the record's bytes. */
const RECORD_ENDING = ".record";
/** Largest of either file, in bytes: a record has at most 60,000, a proof a few thousand. */
const FILE_LIMIT = 1_000_000;

/**
 * Writes a record and its proof into a folder, which is made when missing, as two files named after the record. Files that are there
 * are written over: a later proof of the same record is as good. Returns the path of the proof.
 */
export async function writeProof(
  folder: string,
  name: string,
  content: TlogProof & { readonly record: Uint8Array },
): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${name}${PROOF_ENDING}`);
  // Records name callers and keys: for their owner's eyes.
  await writeFile(join(folder, `${name}${RECORD_ENDING}`), content.record, { mode: 0o600 });
  await writeFile(path, formatTlogProof(content), { mode: 0o600 });
  return path;
}

/** Reads a proof and the record beside it. Says nothing of their worth: verify them. Throws when a file is absurdly large. */
export async function readProof(path: string): Promise<RecordProof> {
  const base = path.endsWith(PROOF_ENDING) ? path.slice(0, -PROOF_ENDING.length) : path;
  return { proof: await readBounded(path), record: await readBounded(`${base}${RECORD_ENDING}`) };
}

// What a file says of its size is not believed: a link in an archive from anywhere may lead to one without an end.
async function readBounded(path: string): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const part of createReadStream(path) as AsyncIterable<Buffer>) {
    sizeBytes += part.length;
    if (sizeBytes > FILE_LIMIT) throw new Error(`Cannot read "${path}": it has more than ${FILE_LIMIT} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}
