import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import {
  SnapshotKind,
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { type NoteVerifier, openNote } from "../../../services/shared/note/note.ts";
import type { DigestedEntry } from "../../../services/shared/snapshot/bucket.ts";
import { KeyringTree } from "../../../services/shared/snapshot/digest.ts";
import { parseHead } from "../../../services/shared/snapshot/head.ts";

/** A keyring that was put together and whose signed head was verified. */
export interface VerifiedKeyring {
  readonly version: bigint;
  readonly tree: KeyringTree;
}

/** So many keyrings are remembered for those who are behind, and so many messages: a whole keyring of 100,000 keys has some fifty. */
const TREES_KEPT = 64;
const MESSAGES_KEPT = 256;

/**
 * What the watchers of one process share, since a thousand copies of 100,000 keys fit nowhere: the same bytes are put together and
 * verified once, and each watcher is held to bytes that were. Nothing is believed for being the same message number.
 */
export class VerifiedKeyrings {
  readonly #trust: readonly NoteVerifier[];
  readonly #messages = new Map<string, WatchSnapshotsResponse["piece"]>();
  readonly #trees = new Map<string, KeyringTree>();
  readonly #byVersion = new Map<bigint, KeyringTree>();

  constructor(trust: readonly NoteVerifier[]) {
    this.#trust = trust;
  }

  /** Decodes a message, once for all who got the same bytes. */
  decode(bytes: Buffer): { readonly id: string; readonly piece: WatchSnapshotsResponse["piece"] } {
    const id = createHash("sha256").update(bytes).digest("base64");
    let piece = this.#messages.get(id);
    if (piece === undefined) {
      // What it holds must not keep the whole chunk that it came in.
      ({ piece } = fromBinary(WatchSnapshotsResponseSchema, Buffer.from(bytes)));
      remember(this.#messages, id, piece, MESSAGES_KEPT);
    }
    return { id, piece };
  }

  /** The keyring that the messages of these ids make, whose entries are `entries`, after their head has verified. Throws when it does not. */
  finish(
    ids: readonly string[],
    base: bigint | undefined,
    changes: { readonly entries: readonly DigestedEntry[]; readonly removedIds: readonly string[] },
    head: { readonly kind: SnapshotKind; readonly note: Uint8Array },
  ): VerifiedKeyring {
    if (head.kind !== SnapshotKind.KEYRING) throw new Error("Cannot verify: it is no head of a keyring");
    const id = ids.join(" ");
    let tree = this.#trees.get(id);
    if (tree === undefined) {
      const from = base === undefined ? KeyringTree.EMPTY : this.#byVersion.get(base);
      if (from === undefined) throw new Error(`Cannot verify: version ${base} is not held`);
      tree = from.apply(changes.entries, changes.removedIds);
      const { version, digest } = parseHead(openNote(head.note, this.#trust).text);
      if (Buffer.compare(tree.digest(), digest) !== 0)
        throw new Error(`Cannot verify: version ${version} has another digest`);
      remember(this.#trees, id, tree, TREES_KEPT);
      remember(this.#byVersion, version, tree, TREES_KEPT);
    }
    const { version } = parseHead(readText(head.note));
    return { version, tree };
  }
}

// The same bytes were opened before: only their version is read again.
function readText(note: Uint8Array): string {
  const text = Buffer.from(note).toString("utf8");
  return text.slice(0, text.indexOf("\n\n") + 1);
}

function remember<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, most: number): void {
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value as Key);
}
