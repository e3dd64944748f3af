import { readFile } from "node:fs/promises";
import { type Clock, pause } from "./clock.ts";

/** How often a watched file is read. */
export const WATCH_INTERVAL_MS = 2_000;

/** What is watched, and who hears of it. */
export interface FileWatch {
  readonly path: string;
  /** What the file held when it was read before the watch began. */
  readonly content: Buffer;
  /** Hears of each new content. Must not throw. */
  readonly onChange: (content: Buffer) => void;
  /** Hears that the file cannot be read, once for each time that begins. */
  readonly onFailure: (error: unknown) => void;
  readonly clock: Clock;
}

/**
 * Reads a file again every {@link WATCH_INTERVAL_MS} until the signal fires, and tells of what changed. By content, not by the file
 * system's events: Kubernetes and NFS change files where no event tells of it. Use it for small files.
 */
export async function watchFile(watch: FileWatch, signal: AbortSignal): Promise<void> {
  const { path, onChange, onFailure, clock } = watch;
  let { content } = watch;
  let isFailing = false;
  while (!signal.aborted) {
    await pause(clock, WATCH_INTERVAL_MS, signal);
    if (signal.aborted) return;
    try {
      const now = await readFile(path);
      isFailing = false;
      if (now.equals(content)) continue;
      content = now;
      onChange(now);
    } catch (error) {
      if (!isFailing) onFailure(error);
      isFailing = true;
    }
  }
}
