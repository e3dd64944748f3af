import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { Log } from "../telemetry/log.ts";
import type { SnapshotHead } from "./head.ts";

/** A snapshot that a process has not survived for so long is on trial. */
export const TRIAL_MS = 30_000;
/** After so many crashes on trial it is no longer run. One may have been chance. */
const CRASHES_ALLOWED = 1;

const FILE = "crashes.json";

interface Crashes {
  readonly version: string;
  readonly digest: string;
  readonly count: number;
}

/** What a crash is remembered by. */
type CrashedHead = Pick<SnapshotHead, "version" | "digest">;

/** What a guard needs. */
export interface CrashGuardOptions {
  /** Directory of the last good snapshots. */
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Remembers on disk which snapshot crashed this process, so that a start does not run into the same again: an older one is run
 * until a newer one comes. A crash is an end of any kind while it was being applied (abort, no memory left, a loop that somebody ended
 * by a kill), and an exception that nobody caught soon after the swap. Later a process that was killed, or ran out of memory, says nothing
 * about the snapshot. An operator takes the memory back by deleting the file.
 */
export class CrashGuard {
  readonly #options: CrashGuardOptions;
  readonly #crashes: Crashes | undefined;
  readonly #onCrash = (): void => this.#noteCrash();
  #trial: { readonly head: SnapshotHead; readonly sinceMs: number } | undefined;
  #applying: SnapshotHead | undefined;

  /** Reads what is remembered. A file that cannot be read is none. */
  constructor(options: CrashGuardOptions) {
    this.#options = options;
    this.#crashes = readCrashes(join(options.directory, FILE));
    // Before those who end the process. An end with an error code is not enough: a port that is taken is no snapshot's fault.
    process.prependListener("uncaughtExceptionMonitor", this.#onCrash);
    process.prependListener("unhandledRejection", this.#onCrash);
  }

  /** Whether this snapshot has crashed the process too often. */
  isBarred(head: CrashedHead): boolean {
    return this.countCrashes(head) > CRASHES_ALLOWED;
  }

  /** How often this snapshot has crashed the process, as policy is told: one crash of a first router halts a release. */
  countCrashes({ version, digest }: CrashedHead): number {
    const known = this.#crashes;
    return known?.version === String(version) && known.digest === toHex(digest) ? known.count : 0;
  }

  /**
   * Notes that a snapshot is about to be applied, and returns how to say that this is over, whatever came of it. A crash is written down
   * before it happens and taken back afterwards: who is killed or loops for ever can write nothing.
   */
  beginApplying(head: SnapshotHead): () => void {
    this.#applying = head;
    this.#write(this.#addCrash(head));
    return () => {
      if (this.#applying === head) this.#takeBack();
    };
  }

  /** Puts a snapshot that was just swapped in on trial. */
  watch(head: SnapshotHead): void {
    this.#trial = { head, sinceMs: this.#options.clock.monotonicMs() };
  }

  /** Ends the watch; an orderly end is no crash. */
  close(): void {
    this.#trial = undefined;
    if (this.#applying !== undefined) this.#takeBack();
    process.off("uncaughtExceptionMonitor", this.#onCrash);
    process.off("unhandledRejection", this.#onCrash);
  }

  #noteCrash(): void {
    const trial = this.#trial;
    // What is being applied stands there as the culprit already.
    if (trial === undefined || this.#applying !== undefined) return;
    if (this.#options.clock.monotonicMs() - trial.sinceMs <= TRIAL_MS) this.#write(this.#addCrash(trial.head));
  }

  #takeBack(): void {
    this.#applying = undefined;
    this.#write(this.#crashes);
  }

  #addCrash(head: SnapshotHead): Crashes {
    return { version: String(head.version), digest: toHex(head.digest), count: this.countCrashes(head) + 1 };
  }

  /** Not to the platter: it must survive this process, and a power cut is no snapshot's fault. */
  #write(crashes: Crashes | undefined): void {
    const { directory, log } = this.#options;
    const path = join(directory, FILE);
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      if (crashes === undefined) rmSync(path, { force: true });
      else writeFileSync(path, JSON.stringify(crashes), { mode: 0o600 });
    } catch (error) {
      log.error({ error }, "Cannot note whether a snapshot crashed this process");
    }
  }
}

function readCrashes(path: string): Crashes | undefined {
  try {
    const { version, digest, count } = JSON.parse(readFileSync(path, "utf8")) as Crashes;
    return typeof version === "string" && typeof digest === "string" && Number.isSafeInteger(count)
      ? { version, digest, count }
      : undefined;
  } catch {
    return undefined;
  }
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
