import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type KeyringEntry, KeyringEntrySchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import {
  SnapshotKind,
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { DigestedEntry } from "../../shared/snapshot/digest.ts";
import type { KeyringChangeEntry } from "../keys/keyring-state.ts";

/** Most bytes of a page's content. */
export const PAGE_BYTES = 256 * 1024;

/** A snapshot as the pages that watchers get, without the head. */
export function toSnapshotPieces(version: bigint, content: Uint8Array): WatchSnapshotsResponse[] {
  const pieces: WatchSnapshotsResponse[] = [];
  for (let index = 0; index === 0 || index * PAGE_BYTES < content.length; index++) {
    const page = content.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES);
    pieces.push(toPiece({ case: "snapshotPage", value: { version, index, content: page } }));
  }
  return pieces;
}

/** A whole keyring as the pages that watchers get, without the head. An empty keyring is one page without entries. */
export function toKeyringPieces(version: bigint, entries: Iterable<DigestedEntry>): WatchSnapshotsResponse[] {
  const pages: KeyringEntry[][] = [];
  let page: KeyringEntry[] = [];
  let size = 0;
  for (const entry of entries) {
    const encoded = create(KeyringEntrySchema, entry);
    const bytes = sizeOf(encoded);
    if (page.length > 0 && size + bytes > PAGE_BYTES) {
      pages.push(page);
      page = [];
      size = 0;
    }
    page.push(encoded);
    size += bytes;
  }
  pages.push(page);
  return pages.map((part, index) => toPiece({ case: "keyringPage", value: { version, index, entries: part } }));
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
    if (size > PAGE_BYTES) return undefined;
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
