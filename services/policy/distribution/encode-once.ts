import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";

/**
 * The same message for those who get it in binary: it was encoded before, and whoever writes it only copies. For what goes to many;
 * the result says nothing to who looks into it, and must not be written as JSON.
 */
export function encodeOnce(message: WatchSnapshotsResponse): WatchSnapshotsResponse {
  let encoded = encodedOf.get(message);
  if (encoded === undefined) {
    encoded = create(WatchSnapshotsResponseSchema);
    const bytes = toBinary(WatchSnapshotsResponseSchema, message);
    // A message of one field is that field's tag and its value; a field that is "unknown" is written as it stands.
    const reader = new BinaryReader(bytes);
    const [no] = reader.tag();
    encoded.$unknown = [{ no, wireType: WireType.LengthDelimited, data: bytes.subarray(reader.pos) }];
    encodedOf.set(message, encoded);
  }
  return encoded;
}

/** By message, and gone with it. */
const encodedOf = new WeakMap<WatchSnapshotsResponse, WatchSnapshotsResponse>();
