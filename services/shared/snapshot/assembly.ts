import type { WatchSnapshotsResponse } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { DigestedEntry } from "./bucket.ts";
import { KeyringTree } from "./digest.ts";
import { runAtOnce, type Steps } from "./slices.ts";

/** A piece of a watch, heads and heartbeats excepted. */
type Part = Extract<WatchSnapshotsResponse["piece"], { case: "snapshotPage" | "keyringPage" | "keyringChange" }>;

const SNAPSHOT_BYTES_LIMIT = 64 * 2 ** 20;
const KEYRING_BYTES_LIMIT = 512 * 2 ** 20;
const KEYRING_ENTRIES_LIMIT = 1_000_000;
/** What an entry costs beside its grant, so that a million empty ones count too. */
const ENTRY_OVERHEAD_BYTES = 64;

/** The keyring that a change may start from. */
interface HeldTree {
  readonly version: bigint;
  readonly tree: KeyringTree;
}

/**
 * Puts together the pages of a watch until their head comes. The sender is not trusted: pages must follow each other and
 * stay within bounds, else SNAPSHOT_REFUSED is thrown and the watch must begin anew.
 */
export class SnapshotAssembly {
  #pages: Uint8Array[] = [];
  #entries: DigestedEntry[] | undefined;
  #removed: string[] = [];
  #base: bigint | undefined;
  #kind: "snapshot" | "keyring" | undefined;
  #version: bigint | undefined;
  #nextPage = 0;
  #bytes = 0;

  /** Takes the next piece. */
  add(part: Part): void {
    switch (part.case) {
      case "snapshotPage":
        this.#follow("snapshot", part.value.version, part.value.index);
        this.#grow(part.value.content.length, SNAPSHOT_BYTES_LIMIT);
        this.#pages.push(part.value.content);
        break;
      case "keyringPage":
        this.#follow("keyring", part.value.version, part.value.index);
        this.#take(part.value.entries);
        break;
      case "keyringChange": {
        const { baseVersion, version, changed, removedIds } = part.value;
        this.#follow("keyring", version, 0);
        this.#base = baseVersion;
        this.#take(changed);
        if (removedIds.length > KEYRING_ENTRIES_LIMIT) throw refuse("it removes too many entries");
        this.#removed = removedIds;
      }
    }
  }

  /** The snapshot's bytes, when its head has come; forgets them. */
  finishSnapshot(): Uint8Array {
    const content = Buffer.concat(this.#pages);
    this.clear();
    return content;
  }

  /** The keyring, when its head has come; forgets it. Undefined when a change does not start from what is held. */
  finishKeyring(held: HeldTree | undefined): KeyringTree | undefined {
    return runAtOnce(this.finishKeyringSteps(held));
  }

  /** As {@link finishKeyring}, in steps. What comes meanwhile is already of the next version. */
  finishKeyringSteps(held: HeldTree | undefined): Steps<KeyringTree | undefined> {
    const base = this.#base;
    const entries = this.#entries ?? [];
    const removed = this.#removed;
    this.clear();
    const from = base === undefined ? KeyringTree.EMPTY : held?.version === base ? held.tree : undefined;
    return applyTo(from, entries, removed);
  }

  /** Forgets what has come so far. */
  clear(): void {
    this.#pages = [];
    this.#entries = undefined;
    this.#removed = [];
    this.#base = undefined;
    this.#kind = undefined;
    this.#version = undefined;
    this.#nextPage = 0;
    this.#bytes = 0;
  }

  #follow(kind: "snapshot" | "keyring", version: bigint, index: number): void {
    // The sender skips to the latest version: a first page begins anew, whatever was half there.
    if (index === 0) this.clear();
    if (index !== this.#nextPage || (index > 0 && (version !== this.#version || kind !== this.#kind))) {
      throw refuse(`page ${index} of ${kind} ${version} does not follow the page before it`);
    }
    this.#kind = kind;
    this.#version = version;
    this.#nextPage = index + 1;
  }

  #take(entries: readonly DigestedEntry[]): void {
    this.#entries ??= [];
    if (this.#entries.length + entries.length > KEYRING_ENTRIES_LIMIT) throw refuse("it has too many entries");
    for (const entry of entries) {
      this.#grow(entry.grant.length + ENTRY_OVERHEAD_BYTES, KEYRING_BYTES_LIMIT);
      this.#entries.push(entry);
    }
  }

  #grow(bytes: number, limit: number): void {
    this.#bytes += bytes;
    if (this.#bytes > limit) throw refuse(`it is larger than ${limit} bytes`);
  }
}

function* applyTo(
  from: KeyringTree | undefined,
  changed: readonly DigestedEntry[],
  removedIds: readonly string[],
): Steps<KeyringTree | undefined> {
  return from === undefined ? undefined : yield* from.applySteps(changed, removedIds);
}

function refuse(state: string): WeirError {
  return new WeirError("SNAPSHOT_REFUSED", `Cannot put snapshot together: ${state}`, { facts: { stage: "PAGES" } });
}
