import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { SnapshotAssembly } from "../../shared/snapshot/assembly.ts";
import { KeyringTree } from "../../shared/snapshot/digest.ts";
import { PAGE_BYTES, toChangePiece, toKeyringPieces, toSnapshotPieces } from "./pieces.ts";

function assemble(pieces: readonly WatchSnapshotsResponse[]): SnapshotAssembly {
  const assembly = new SnapshotAssembly();
  for (const { piece } of pieces) assembly.add(piece as Parameters<typeof assembly.add>[0]);
  return assembly;
}

const entries = Array.from({ length: 3_000 }, (_, index) => ({
  id: `key${index}`,
  grant: new Uint8Array(300).fill(index % 256),
}));

describe("toSnapshotPieces()", () => {
  it.each([0, 1, PAGE_BYTES, PAGE_BYTES + 1, 3 * PAGE_BYTES])(
    "brings %i bytes in pages that put together are the same",
    (size) => {
      const content = new Uint8Array(size).map((_, index) => index % 251);

      const pieces = toSnapshotPieces(3n, content);

      expect(pieces).toHaveLength(Math.max(1, Math.ceil(size / PAGE_BYTES)));
      expect(Buffer.compare(assemble(pieces).finishSnapshot(), content)).toBe(0);
    },
  );
});

describe("toKeyringPieces()", () => {
  it("brings a keyring in pages of at most 256 KiB that give the same digest", () => {
    const tree = KeyringTree.EMPTY.apply(entries);

    const pieces = [...toKeyringPieces(3n, tree.entries())];

    expect(pieces.length).toBeGreaterThan(3);
    for (const piece of pieces) {
      expect(toBinary(WatchSnapshotsResponseSchema, piece).length).toBeLessThanOrEqual(PAGE_BYTES + 64);
    }
    expect(assemble(pieces).finishKeyring(undefined)?.digest()).toEqual(tree.digest());
  });

  it("brings an empty keyring as one page", () => {
    expect([...toKeyringPieces(1n, [])]).toMatchObject([
      { piece: { case: "keyringPage", value: { index: 0, entries: [] } } },
    ]);
  });
});

describe("toChangePiece()", () => {
  it("brings changes and what is gone", () => {
    const base = KeyringTree.EMPTY.apply(entries);
    const changes = [
      { id: "key1", grant: undefined, version: 4n },
      { id: "new", grant: new Uint8Array([1]), version: 5n },
    ];

    const piece = toChangePiece(3n, 5n, changes);

    expect(assemble([piece!]).finishKeyring({ version: 3n, tree: base })?.digest()).toEqual(
      base.apply([{ id: "new", grant: new Uint8Array([1]) }], ["key1"]).digest(),
    );
  });

  it("makes one piece of a thousand keys, and nothing of a change that is larger than two pages", () => {
    const changes = entries.map((entry) => ({ ...entry, version: 4n }));

    expect(toChangePiece(3n, 5n, changes.slice(0, 1_000))).toBeDefined();
    expect(toChangePiece(3n, 5n, [...changes, ...changes.map((entry) => ({ ...entry, id: `${entry.id}x` }))])).toBe(
      undefined,
    );
  });
});
