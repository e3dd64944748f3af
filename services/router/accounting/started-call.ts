import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import type { MatchedRule, PriorityClass } from "../../../gen/weir/type/v1/decision_pb.ts";
import type { Operation, PinnedVersions } from "../../../gen/weir/type/v1/usage_pb.ts";

/** What accounting needs to know of a target: a `SnapshotTarget` is one. */
export type BilledTarget = Pick<SnapshotTarget, "id" | "provider" | "model" | "prices" | "maxOutputTokens">;

/** A target that may be tried, and how it was placed: a `RankedTarget` is one. */
export interface StartedCandidate {
  readonly target: BilledTarget;
  readonly priority: number;
  readonly weight: number;
  /** A whole number from 0. */
  readonly draw: number;
  readonly isDeferred?: boolean;
}

/** A target that was looked at and can't be used: a `RejectedTarget` is one. */
export interface StartedRejection {
  readonly target: Pick<BilledTarget, "id">;
  readonly reason: string;
  /** Id of the rule that excludes it; absent when none does. */
  readonly rule?: string | undefined;
}

/** What a call was decided by, under a policy with rules. The objects within should be the same from call to call, see below. */
export interface StartedRules {
  /** The rules that bore on it, in their order. */
  readonly matched: readonly MatchedRule[];
  /** The most tokens of one answer that the caller asked for, before any rule; undefined when it did not say. */
  readonly askedOutputTokens: bigint | undefined;
  readonly inputBytes: number;
  /** Whether the request offered the model a tool. */
  readonly hasTools: boolean;
  /** Labels of the key. */
  readonly labels: Readonly<Record<string, string>>;
  /** Undefined when no rule set one. */
  readonly priorityClass: PriorityClass | undefined;
}

/**
 * A call that begins: its caller is known and its limits are passed. All that a successor needs in order to settle the
 * call, should this process die; nothing of what was said. `caller`, `versions` and targets should be the same objects from call
 * to call, as long as they say the same: what they come to on disk is remembered with them. None of it may change afterwards.
 */
export interface StartedCall {
  /** UUIDv7, from `createEventId`; the id of its usage and of its record. */
  readonly eventId: string;
  /** Who asks, without the person at the end. */
  readonly caller: Caller;
  /** Pseudonym of the person at the end; empty when not said. */
  readonly endUser: string;
  readonly operation: Operation;
  /** Id of the model that was asked for. */
  readonly model: string;
  /** Whether a stream was asked for. */
  readonly streamed: boolean;
  /** The surface that it came by: "openai", "grpc". */
  readonly surface: string;
  readonly versions: PinnedVersions;
  readonly startedAtMs: number;
  /** The limits that counted it. */
  readonly limits: readonly { readonly id: string }[];
  /** The targets that may be tried, in their order. The first one is taken to be tried at once. */
  readonly candidates: readonly StartedCandidate[];
  /** The targets that were looked at and can't be used. */
  readonly rejected: readonly StartedRejection[];
  /** Absent when the policy has no rules. */
  readonly rules?: StartedRules | undefined;
  /** Bytes of the request's body: no more tokens than these can have been read. */
  readonly requestBytes: number;
  /** The most tokens that this request lets the provider answer, all candidates together; absent when it does not say. */
  readonly maxOutputTokens?: bigint;
  /** How many answers were asked for (`n`). Default 1. */
  readonly answers?: number;
}
