import type { Snapshot } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { readCondition } from "../condition/condition.ts";
import { type DecisionTables, indexSnapshot } from "../decision/tables.ts";
import { SAMPLE_GRANTS, tryDecisions } from "../decision/try-decisions.ts";
import type { NoteVerifier } from "../note/note.ts";
import type { KeyringTree } from "./digest.ts";
import type { HeadKind, SnapshotHead } from "./head.ts";
import type { Keyring } from "./keyring.ts";
import { runAtOnce, runInSlices, type Steps } from "./slices.ts";
import {
  compareWithHeld,
  type SnapshotRefusal,
  type SnapshotUnchanged,
  type VerifiedSnapshot,
  verifyKeyring,
  verifySnapshot,
} from "./verify.ts";

/** What a region runs at one instant: one snapshot with one keyring. Never changes, so a chat pins it and reads without locks. */
export interface PinnedPolicy {
  readonly snapshot: Snapshot;
  readonly snapshotVersion: bigint;
  /** SHA-256 of the snapshot. */
  readonly snapshotDigest: Uint8Array;
  /** The snapshot, made ready for decisions. */
  readonly tables: DecisionTables;
  readonly keyring: Keyring;
  readonly keyringVersion: bigint;
}

/** A version that is held, with its proof. */
export interface HeldVersion {
  readonly head: SnapshotHead;
  /** The signed note. */
  readonly note: Uint8Array;
}

interface HeldSnapshot extends HeldVersion {
  readonly content: Uint8Array;
  readonly snapshot: Snapshot;
  readonly tables: DecisionTables;
}

interface HeldKeyring extends HeldVersion {
  readonly keyring: Keyring;
}

const TRIAL = {
  workedMs: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

/** What became of an offer. */
export type OfferVerdict =
  | { readonly verdict: "applied"; readonly head: SnapshotHead }
  | SnapshotUnchanged
  | SnapshotRefusal;

/** What a hold is made of. */
export interface HoldOptions {
  /** Keys that sign heads. */
  readonly trust: Iterable<NoteVerifier>;
  /** Id of the region. */
  readonly region: string;
  /** Whether a snapshot has crashed this process too often. Default: none has. */
  readonly isBarred?: (head: SnapshotHead) => boolean;
  /** Called before a snapshot that verified is read, tried and swapped in; what it returns is called when that is over, whatever came of it. */
  readonly beginApplying?: (head: SnapshotHead) => () => void;
}

/**
 * Holds the newest snapshot and keyring that verified. All roads offer to it: whichever comes first is taken, and it never
 * goes back to an older version.
 */
export class SnapshotHold {
  readonly #options: HoldOptions;
  #snapshot: HeldSnapshot | undefined;
  #keyring: HeldKeyring | undefined;
  #current: PinnedPolicy | undefined;
  readonly #confirmedAtMs = new Map<HeadKind, number>();
  readonly #confirmedMonotonicMs = new Map<HeadKind, number>();
  readonly #listeners = new Set<(kind: HeadKind) => void>();

  constructor(options: HoldOptions) {
    this.#options = options;
  }

  /** What new calls run under; undefined until a snapshot and a keyring have verified. One reference, swapped at once. */
  current(): PinnedPolicy | undefined {
    return this.#current;
  }

  /** The snapshot that is held, as it came. */
  heldSnapshot(): (HeldVersion & { readonly content: Uint8Array }) | undefined {
    return this.#snapshot;
  }

  /** The keyring that is held. */
  heldKeyring(): HeldKeyring | undefined {
    return this.#keyring;
  }

  /**
   * Notes that policy named this version as the newest, at an instant in milliseconds since 1970. A version that is not the one
   * held confirms nothing, and a later confirmation stays. `monotonicMs` is the same instant of the monotonic clock, when it was in
   * this life of the process.
   */
  confirm(kind: HeadKind, version: bigint, atMs: number, monotonicMs?: number): void {
    const held = kind === "snapshot" ? this.#snapshot : this.#keyring;
    if (held === undefined || held.head.version !== version) return;
    this.#confirmedAtMs.set(kind, Math.max(atMs, this.#confirmedAtMs.get(kind) ?? 0));
    if (monotonicMs === undefined) return;
    const before = this.#confirmedMonotonicMs.get(kind) ?? Number.NEGATIVE_INFINITY;
    this.#confirmedMonotonicMs.set(kind, Math.max(monotonicMs, before));
  }

  /**
   * For how long what is held was not confirmed, in milliseconds, at an instant of both clocks; Infinity when nothing says. Setting the
   * machine's clock back makes nothing younger: what is known of this life only is aged by the monotonic clock.
   */
  ageMs(kind: HeadKind, nowMs: number, nowMonotonicMs: number): number {
    const atMs = this.#confirmedAtMs.get(kind);
    if (atMs === undefined) return Number.POSITIVE_INFINITY;
    const monotonicMs = this.#confirmedMonotonicMs.get(kind);
    if (monotonicMs !== undefined) return Math.max(nowMs - atMs, nowMonotonicMs - monotonicMs);
    // Confirmed in an earlier life, and in the future: the clock was set back, by nobody knows how much.
    return nowMs < atMs ? Number.POSITIVE_INFINITY : nowMs - atMs;
  }

  /**
   * When policy last named what is held as the newest, milliseconds since 1970: how old our knowledge is, whatever the version.
   * Undefined when nothing is held, or nothing says when that was. The machine's clock may have jumped since.
   */
  confirmedAtMs(kind: HeadKind): number | undefined {
    return this.#confirmedAtMs.get(kind);
  }

  /** Verifies a snapshot and swaps it in. Bytes from anywhere; they must not change afterwards. */
  offerSnapshot(note: Uint8Array, content: Uint8Array): OfferVerdict {
    return runAtOnce(this.#takeSnapshot(note, content));
  }

  /** As {@link offerSnapshot}, while the event loop serves others. */
  offerSnapshotInSlices(note: Uint8Array, content: Uint8Array): Promise<OfferVerdict> {
    return runInSlices(this.#takeSnapshot(note, content));
  }

  /** Verifies a keyring and swaps it in. */
  offerKeyring(note: Uint8Array, tree: KeyringTree): OfferVerdict {
    return runAtOnce(this.#takeKeyring(note, tree));
  }

  /** As {@link offerKeyring}, while the event loop serves others. */
  offerKeyringInSlices(note: Uint8Array, tree: KeyringTree): Promise<OfferVerdict> {
    return runInSlices(this.#takeKeyring(note, tree));
  }

  *#takeSnapshot(note: Uint8Array, content: Uint8Array): Steps<OfferVerdict> {
    const verified = yield* verifySnapshot(note, content, this.#context(this.#snapshot));
    if (verified.verdict !== "verified") return verified;
    const { head } = verified;
    if (this.#options.isBarred?.(head)) {
      return { verdict: "refused", stage: "CRASHED", reasons: ["it has crashed this process before"], head };
    }
    const endApplying = this.#options.beginApplying?.(head);
    try {
      return yield* this.#applySnapshot(verified);
    } finally {
      endApplying?.();
    }
  }

  *#applySnapshot({ head, note, content, snapshot }: VerifiedSnapshot): Steps<OfferVerdict> {
    // Each takes up to 20 ms to read and is remembered, so that the tables find them read.
    for (const { when } of snapshot.rules) {
      readCondition(when);
      yield;
    }
    let tables: DecisionTables;
    try {
      tables = indexSnapshot(snapshot);
    } catch (error) {
      // A snapshot that would break decisions must break here, once, and not at each call.
      const reason = error instanceof Error ? error.message : "unknown";
      return { verdict: "refused", stage: "TABLES", reasons: [reason], head };
    }
    yield;
    const problem = yield* tryDecisions(tables, this.#keyring?.keyring.sample(SAMPLE_GRANTS) ?? [], TRIAL);
    if (problem !== undefined) return { verdict: "refused", stage: "TRIAL", reasons: [problem], head };
    const overtaken = compareWithHeld(head, this.#snapshot?.head);
    if (overtaken !== undefined) return overtaken;
    this.#snapshot = { head, note, content, snapshot, tables };
    this.#swap("snapshot");
    return { verdict: "applied", head };
  }

  *#takeKeyring(note: Uint8Array, tree: KeyringTree): Steps<OfferVerdict> {
    const verified = yield* verifyKeyring(note, tree, this.#context(this.#keyring), this.#keyring?.keyring);
    if (verified.verdict !== "verified") return verified;
    const { head, keyring } = verified;
    // While this one was looked at, the other road may have brought a newer one.
    const overtaken = compareWithHeld(head, this.#keyring?.head);
    if (overtaken !== undefined) return overtaken;
    this.#keyring = { head, note, keyring };
    this.#swap("keyring");
    return { verdict: "applied", head };
  }

  /** Calls `listener` after each swap, with what was swapped. Returns how to stop it. */
  onChange(listener: (kind: HeadKind) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #context(held: HeldVersion | undefined) {
    const { trust, region } = this.#options;
    return held === undefined ? { trust, region } : { trust, region, held: held.head };
  }

  #swap(kind: HeadKind): void {
    if (this.#snapshot !== undefined && this.#keyring !== undefined) {
      this.#current = {
        snapshot: this.#snapshot.snapshot,
        snapshotVersion: this.#snapshot.head.version,
        snapshotDigest: this.#snapshot.head.digest,
        tables: this.#snapshot.tables,
        keyring: this.#keyring.keyring,
        keyringVersion: this.#keyring.head.version,
      };
    }
    for (const listener of [...this.#listeners]) listener(kind);
  }
}
