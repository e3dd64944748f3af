import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type KeyringEntry, KeyringEntrySchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import {
  SnapshotKind,
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { DigestedEntry } from "../../shared/snapshot/bucket.ts";
import type { KeyringChangeEntry } from "../keys/keyring-state.ts";

/** Most bytes of a page's content. */
export const PAGE_BYTES = 256 * 1024;
/**
 * Most bytes of a change: a thousand new keys are one, and who lacks them must not fetch a hundred thousand others with them. Half of
 * what the bus carries in a message.
 */
const CHANGE_BYTES = 512 * 1024;

/** A snapshot as the pages that watchers get, without the head. */
export function toSnapshotPieces(version: bigint, content: Uint8Array): WatchSnapshotsResponse[] {
  const pieces: WatchSnapshotsResponse[] = [];
  for (let index = 0; index === 0 || index * PAGE_BYTES < content.length; index++) {
    const page = content.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES);
    pieces.push(toPiece({ case: "snapshotPage", value: { version, index, content: page } }));
  }
  return pieces;
}

/** A whole keyring as the pages that watchers get, without the head, each made as it is read. An empty keyring is one page without entries. */
export function* toKeyringPieces(
  version: bigint,
  entries: Iterable<DigestedEntry>,
): Generator<WatchSnapshotsResponse, undefined> {
  let page: KeyringEntry[] = [];
  let size = 0;
  let index = 0;
  for (const entry of entries) {
    const encoded = create(KeyringEntrySchema, entry);
    const bytes = sizeOf(encoded);
    if (page.length > 0 && size + bytes > PAGE_BYTES) {
      yield toPiece({ case: "keyringPage", value: { version, index, entries: page } });
      index += 1;
      page = [];
      size = 0;
    }
    page.push(encoded);
    size += bytes;
  }
  yield toPiece({ case: "keyringPage", value: { version, index, entries: page } });
}

/** The change from one version of the keyring to another, without the head; nothing when it is too large for one piece. */
export function toChangePiece(
  baseVersion: bigint,
  version: bigint,
  changes: readonly KeyringChangeEntry[],
): WatchSnapshotsResponse | undefined {
  const changed: KeyringEntry[] = [];
  const removedIds: string[] = [];
  let size = 0;
  for (const { id, grant } of changes) {
    if (grant === undefined) {
      removedIds.push(id);
      size += id.length + 4;
    } else {
      const entry = create(KeyringEntrySchema, { id, grant });
      changed.push(entry);
      size += sizeOf(entry);
    }
    if (size > CHANGE_BYTES) return undefined;
  }
  return toPiece({ case: "keyringChange", value: { baseVersion, version, changed, removedIds } });
}

/** The piece that ends pages or a change. */
export function toHeadPiece(kind: "snapshot" | "keyring", note: Uint8Array): WatchSnapshotsResponse {
  return toPiece({
    case: "head",
    value: { kind: kind === "snapshot" ? SnapshotKind.SNAPSHOT : SnapshotKind.KEYRING, note },
  });
}

function toPiece(piece: NonNullable<MessageInitShape<typeof WatchSnapshotsResponseSchema>["piece"]>) {
  return create(WatchSnapshotsResponseSchema, { piece });
}

function sizeOf(entry: KeyringEntry): number {
  // Ids are ASCII. Tags and lengths of the entry and its two fields take at most twelve bytes.
  return entry.id.length + entry.grant.length + 12;
}
