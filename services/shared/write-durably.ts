import { mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes a file, for its owner alone, so that a reader finds all of it or what was there before, also after the machine loses power: to a
 * file beside it (its name and ".new", which a crash leaves behind), to the platter, renamed. Makes the folder when it is not there. One
 * write at a time for each path; a piece is asked for when the one before is written. Throws what the file system throws.
 */
export async function writeDurably(path: string, pieces: Iterable<Uint8Array>): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    // Each goes on where the one before ended.
    for (const piece of pieces) await file.writeFile(piece);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const folder = await open(directory, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
