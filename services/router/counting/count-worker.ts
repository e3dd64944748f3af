import { setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { countText } from "./count-text.ts";
import { readEscaped } from "./read-escaped.ts";

/** What the worker is asked: texts as they stood in JSON. */
export type CountJob = readonly Uint8Array<ArrayBuffer>[];
/** What it says: once, that it has loaded; then the tokens of the texts of each job. */
export type CountAnswer = "loaded" | readonly number[];

/** How long one text may take. One of 256 KiB takes a third of it, unless it was made to take long. */
const LIMIT_MS = 500;
/** Counting gives way to answering where both share a core. On Linux this is about the calling thread alone, elsewhere not. */
const PRIORITY = 5;

if (process.platform === "linux") setPriority(0, PRIORITY);

parentPort?.on("message", (job: CountJob) => {
  const options = { limitMs: LIMIT_MS, nowMs: () => performance.now() };
  parentPort?.postMessage(job.map((bytes) => countText(readEscaped(bytes), options)) satisfies CountAnswer);
});
parentPort?.postMessage("loaded" satisfies CountAnswer);
