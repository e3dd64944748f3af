import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { fromEnvelopes, toEnvelopes } from "../../shared/mesh/envelope.ts";

/** Messages of a watch that go out together, encoded once for all who get them: each in its envelope of gRPC, one behind the other. */
export type Sending = Buffer;

/** Encodes messages. They go out in one piece, so keep each sending well below a megabyte. */
export function toSending(...messages: readonly WatchSnapshotsResponse[]): Sending {
  return toEnvelopes(messages.map((message) => toBinary(WatchSnapshotsResponseSchema, message)));
}

/** The messages of a sending, for those who get them by another protocol. */
export function fromSending(sending: Sending): WatchSnapshotsResponse[] {
  return fromEnvelopes(sending).map((bytes) => fromBinary(WatchSnapshotsResponseSchema, bytes));
}
