import { create } from "@bufbuild/protobuf";
import type { Block, StopReason } from "../../../gen/weir/router/v1/chat_pb.ts";
import {
  type BlockDelta,
  BlockDeltaSchema,
  BlockStartedSchema,
  BlockStoppedSchema,
  CandidateStoppedSchema,
  type StreamResponse,
} from "../../../gen/weir/router/v1/chat_service_pb.ts";

/** A piece of a streamed answer in typed messages. */
export type Piece = StreamResponse["piece"];

/** Says that a block of a candidate began. */
export function toStarted(candidate: number, index: number, block: Block): Piece {
  return { case: "blockStarted", value: create(BlockStartedSchema, { candidate, index, block }) };
}

/** Says by what a block grew. */
export function toDelta(candidate: number, index: number, delta: BlockDelta["delta"]): Piece {
  return { case: "blockDelta", value: create(BlockDeltaSchema, { candidate, index, delta }) };
}

/** Says that a block is complete. */
export function toStopped(candidate: number, index: number): Piece {
  return { case: "blockStopped", value: create(BlockStoppedSchema, { candidate, index }) };
}

/** Says that a candidate is complete, and why, also in its provider's word. */
export function toCandidateStopped(candidate: number, stopReason: StopReason, providerStopReason: string): Piece {
  return {
    case: "candidateStopped",
    value: create(CandidateStoppedSchema, { candidate, stopReason, providerStopReason }),
  };
}

/** The data of server-sent events, of those that have any. What a stream reader lets through are whole events with their data on one line. */
export function listEventData(bytes: Buffer): string[] {
  return bytes
    .toString("utf8")
    .split("\n")
    .flatMap((line) => {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      return data === "" ? [] : [data];
    });
}
