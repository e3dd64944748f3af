import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import {
  CHECKPOINTS_FILE,
  type ExportedRecord,
  formatCheckpointLine,
  formatHeader,
  formatRecord,
  RECORDS_FILE,
} from "./export-format.ts";

/** What an export is made of. */
export interface ExportContent {
  readonly origin: string;
  /** Every record from index 0 up to the size of the last checkpoint, by rising index. */
  readonly records: AsyncIterable<ExportedRecord>;
  /** Signed notes by rising size. */
  readonly checkpoints: AsyncIterable<Uint8Array>;
}

/**
 * Writes an export into a folder, which is made when missing; files that are there already are never overwritten (EEXIST).
 * Proves nothing by itself: verify what was written.
 */
export async function writeExport(folder: string, content: ExportContent): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeLines(join(folder, RECORDS_FILE), recordLines(content));
  await writeLines(join(folder, CHECKPOINTS_FILE), checkpointLines(content));
}

async function* recordLines({ origin, records }: ExportContent): AsyncGenerator<string> {
  yield formatHeader(origin);
  for await (const record of records) yield formatRecord(record);
}

async function* checkpointLines({ checkpoints }: ExportContent): AsyncGenerator<string> {
  for await (const note of checkpoints) yield formatCheckpointLine(note);
}

async function writeLines(path: string, lines: AsyncIterable<string>): Promise<void> {
  // Records name callers and keys: for their owner's eyes.
  const file: WriteStream = createWriteStream(path, { flags: "wx", mode: 0o600 });
  await once(file, "open");
  try {
    for await (const line of lines) {
      if (!file.write(`${line}\n`)) await once(file, "drain");
    }
    file.end();
    await finished(file);
  } finally {
    file.destroy();
  }
}
