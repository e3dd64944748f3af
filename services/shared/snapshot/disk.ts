import { readdir, readFile, stat, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { pause, systemClock } from "../clock.ts";
import type { Log } from "../telemetry/log.ts";
import { writeDurably } from "../write-durably.ts";
import { decodeEntries, decodeFile, encodeFile, type SnapshotFile, toKeyringPieces } from "./file.ts";
import type { HeadKind, SnapshotHead } from "./head.ts";
import type { OfferVerdict, SnapshotHold } from "./hold.ts";
import { runInSlices } from "./slices.ts";
import type { SnapshotRefusal } from "./verify.ts";

/** How many versions of each kind stay. */
const KEPT = 3;
/** A file beyond it was not written by us: a keyring of a million keys has about 300 MB. */
const SIZE_LIMIT = 1024 ** 3;
const NAME = /^(snapshot|keyring)-([0-9]{19})\.weir$/;
const TEMPORARY = /^(snapshot|keyring)-[0-9]{19}\.weir\.new$/;
/** Between two writes it rests for so many times as long as the first took, */
const RESTS = 10;
/** and never for longer than this: what is not written yet is unknown to a restart that finds no policy. */
const MOST_REST_MS = 1_000;
const KINDS: readonly HeadKind[] = ["snapshot", "keyring"];

/** Where the files are, and who hears of trouble. */
export interface SnapshotDiskOptions {
  /** Directory of this process alone; made when it is not there. */
  readonly directory: string;
  readonly log: Log;
  /** Called for each file that was refused. */
  readonly onRefused?: (kind: HeadKind, refusal: SnapshotRefusal) => void;
}

/**
 * The last good snapshots and keyrings on disk, so that a restart needs nobody. The files are as untrusted as the network:
 * what is read is verified by the hold it is offered to.
 */
export class SnapshotDisk {
  readonly #options: SnapshotDiskOptions;
  readonly #hurry = new AbortController();
  readonly #saving = new Map<HeadKind, Promise<void>>();
  readonly #wanted = new Set<HeadKind>();
  /** The newest version of each kind that is on disk for sure. */
  readonly #kept = new Map<HeadKind, bigint>();

  constructor(options: SnapshotDiskOptions) {
    this.#options = options;
  }

  /**
   * Offers what is on disk, of each kind the newest first, until one is taken. Returns the kinds that were. Never throws:
   * without a good file it does nothing.
   */
  async load(hold: SnapshotHold): Promise<HeadKind[]> {
    const taken: HeadKind[] = [];
    for (const kind of KINDS) {
      for (const { name, version } of await this.#list(kind)) {
        // Before the offer, which tells everyone at once: what has just been read need not be written again.
        this.#kept.set(kind, version);
        const verdict = await this.#offer(kind, name, hold);
        if (verdict.verdict === "applied") taken.push(kind);
        if (verdict.verdict !== "refused") break;
        if (this.#kept.get(kind) === version) this.#kept.delete(kind);
        // The network was faster, and what is still older than this file is older still.
        if (verdict.stage === "STALE") break;
        this.#options.log.error(
          { file: name, stage: verdict.stage, reasons: verdict.reasons },
          "Refused a file of the last good snapshots; trying the next older one",
        );
        this.#options.onRefused?.(kind, verdict);
      }
    }
    return taken;
  }

  /**
   * Writes what the hold has now: to a new file, to the platter, renamed, and the directory too. While one is being written
   * the newest waits and those between are skipped. Logs a failure and never throws: serving goes on.
   */
  save(kind: HeadKind, hold: SnapshotHold): Promise<void> {
    this.#wanted.add(kind);
    let saving = this.#saving.get(kind);
    if (saving === undefined) {
      saving = this.#saveWanted(kind, hold).finally(() => this.#saving.delete(kind));
      this.#saving.set(kind, saving);
    }
    return saving;
  }

  /**
   * Stamps the file of what is held with the instant at which policy last confirmed it, so that a restart knows how old it is. Never
   * throws: what is not on disk yet gets its time when it is written.
   */
  async stamp(kind: HeadKind, hold: SnapshotHold): Promise<void> {
    const held = kind === "snapshot" ? hold.heldSnapshot() : hold.heldKeyring();
    const atMs = hold.confirmedAtMs(kind);
    if (held === undefined || atMs === undefined || this.#kept.get(kind) !== held.head.version) return;
    try {
      await utimes(this.#path(held.head), atMs / 1000, atMs / 1000);
    } catch (error) {
      this.#options.log.warn({ kind, error }, "Cannot stamp a file of the last good snapshots");
    }
  }

  /** Waits until what was to be saved is, without a rest. The last act: what is saved after it has no rest either. */
  async flush(): Promise<void> {
    this.#hurry.abort();
    await Promise.all(this.#saving.values());
  }

  async #saveWanted(kind: HeadKind, hold: SnapshotHold): Promise<void> {
    while (this.#wanted.delete(kind)) {
      const beganMs = performance.now();
      try {
        const held = kind === "snapshot" ? hold.heldSnapshot() : hold.heldKeyring();
        if (held === undefined || this.#kept.get(kind) === held.head.version) continue;
        const pieces =
          "content" in held
            ? [encodeFile({ kind, note: held.note, content: held.content })]
            : toKeyringPieces(held.note, held.keyring.tree);
        await writeDurably(this.#path(held.head), pieces);
        this.#kept.set(kind, held.head.version);
        await this.#prune(kind, held.head.version);
      } catch (error) {
        this.#options.log.error({ kind, error }, "Cannot keep the last good version on disk");
      }
      // The first of a row of changes is written at once. Those that follow it wait for a moment and are written as one: to write a
      // keyring of 100,000 keys for each took a router more than to apply them.
      const restMs = Math.min(MOST_REST_MS, RESTS * (performance.now() - beganMs));
      await pause(systemClock, restMs, this.#hurry.signal);
    }
  }

  async #offer(kind: HeadKind, name: string, hold: SnapshotHold): Promise<OfferVerdict> {
    const path = join(this.#options.directory, name);
    try {
      const { size, mtimeMs } = await stat(path);
      if (size > SIZE_LIMIT) return refuse(`it has ${size} bytes, more than ${SIZE_LIMIT}`);
      const file = decodeFile(await readFile(path));
      if (file === undefined || file.kind !== kind) return refuse("it has not the form of such a file");
      const verdict = await offerFile(kind, file, hold);
      if (verdict.verdict !== "refused") hold.confirm(kind, verdict.head.version, mtimeMs);
      return verdict;
    } catch (error) {
      return refuse(error instanceof Error ? error.message : "it cannot be read");
    }
  }

  async #list(kind: HeadKind): Promise<{ name: string; version: bigint }[]> {
    let names: string[];
    try {
      names = await readdir(this.#options.directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        this.#options.log.error({ error }, "Cannot read the directory of the last good snapshots");
      }
      return [];
    }
    return names
      .flatMap((name) => {
        const match = NAME.exec(name);
        return match?.[1] === kind ? [{ name, version: BigInt(match[2] as string) }] : [];
      })
      .sort((a, b) => (a.version < b.version ? 1 : -1));
  }

  #path({ kind, version }: SnapshotHead): string {
    return join(this.#options.directory, `${kind}-${String(version).padStart(19, "0")}.weir`);
  }

  // What has a higher version than the one just written is not ours to judge here; a start refuses it or takes it.
  async #prune(kind: HeadKind, version: bigint): Promise<void> {
    const { directory } = this.#options;
    const old = (await this.#list(kind)).filter((file) => file.version <= version).slice(KEPT);
    const torn = (await readdir(directory)).filter((name) => TEMPORARY.exec(name)?.[1] === kind);
    for (const name of [...old.map((file) => file.name), ...torn]) await unlink(join(directory, name));
  }
}

async function offerFile(kind: HeadKind, { note, content }: SnapshotFile, hold: SnapshotHold): Promise<OfferVerdict> {
  if (kind === "snapshot") return await hold.offerSnapshotInSlices(note, content);
  const tree = await runInSlices(decodeEntries(content));
  return tree === undefined ? refuse("its entries do not decode") : await hold.offerKeyringInSlices(note, tree);
}

function refuse(reason: string): SnapshotRefusal {
  return { verdict: "refused", stage: "DECODE", reasons: [reason] };
}
