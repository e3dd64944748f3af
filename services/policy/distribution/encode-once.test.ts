import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { WatchSnapshotsResponseSchema } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { encodeOnce } from "./encode-once.ts";
import { toChangePiece, toHeadPiece, toKeyringPieces, toSnapshotPieces } from "./pieces.ts";

const grant = new Uint8Array(300).fill(7);
const pieces = [
  ...toSnapshotPieces(3n, new Uint8Array(1_000)),
  ...toKeyringPieces(
    4n,
    Array.from({ length: 2_000 }, (_, index) => ({ id: `key-${index}`, grant })),
  ),
  ...toKeyringPieces(5n, []),
  toChangePiece(4n, 5n, [{ id: "a", grant, version: 5n }])!,
  toHeadPiece("keyring", new Uint8Array(200)),
];

describe("encodeOnce()", () => {
  it("gives a message that is written with the same bytes, whichever piece it is", () => {
    for (const piece of pieces) {
      const bytes = Buffer.from(toBinary(WatchSnapshotsResponseSchema, piece));
      expect(Buffer.from(toBinary(WatchSnapshotsResponseSchema, encodeOnce(piece))).equals(bytes)).toBe(true);
    }
  });

  it("encodes a message once", () => {
    expect(encodeOnce(pieces[0]!)).toBe(encodeOnce(pieces[0]!));
  });
});
