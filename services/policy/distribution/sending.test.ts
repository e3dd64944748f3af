import { toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import {
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { toChangePiece, toHeadPiece, toSnapshotPieces } from "./pieces.ts";
import { fromSending, toSending } from "./sending.ts";

it("a sending has its messages in their order", () => {
  const messages = [
    toChangePiece(4n, 5n, [{ id: "a", grant: new Uint8Array(300).fill(7), version: 5n }])!,
    toHeadPiece("keyring", new Uint8Array(200)),
    ...toSnapshotPieces(3n, new Uint8Array(0)),
  ];

  const encode = (message: WatchSnapshotsResponse) => Buffer.from(toBinary(WatchSnapshotsResponseSchema, message));
  expect(fromSending(toSending(...messages)).map(encode)).toEqual(messages.map(encode));
});
