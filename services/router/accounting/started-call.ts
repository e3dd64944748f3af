import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import type { Candidate } from "../../../gen/weir/type/v1/decision_pb.ts";
import type { Operation, PinnedVersions } from "../../../gen/weir/type/v1/usage_pb.ts";

/** What accounting needs to know of a target: a `SnapshotTarget` is one. */
export type BilledTarget = Pick<SnapshotTarget, "id" | "provider" | "model" | "prices" | "maxOutputTokens">;

/**
 * A call that begins: its caller is known and its limits are passed. All that a successor needs in order to settle the
 * call, should this process die; nothing of what was said.
 */
export interface StartedCall {
  /** UUIDv7, from `createEventId`; the id of its usage and of its record. */
  readonly eventId: string;
  readonly caller: Caller;
  readonly operation: Operation;
  /** Id of the model that was asked for. */
  readonly model: string;
  /** Whether a stream was asked for. */
  readonly streamed: boolean;
  /** The surface that it came by: "openai", "grpc". */
  readonly surface: string;
  readonly versions: PinnedVersions;
  readonly startedAtMs: number;
  /** Ids of the limits that counted it. */
  readonly limits: readonly string[];
  /** Each target that was looked at, with reason or score. */
  readonly candidates: readonly Candidate[];
  /** The targets that may be tried, in their order. The first one is taken to be tried at once. */
  readonly targets: readonly BilledTarget[];
  /** Bytes of the request's body: no more tokens than these can have been read. */
  readonly requestBytes: number;
  /** The most tokens that this request lets the provider answer, all candidates together; absent when it does not say. */
  readonly maxOutputTokens?: bigint;
  /** How many answers were asked for (`n`). Default 1. */
  readonly answers?: number;
}
