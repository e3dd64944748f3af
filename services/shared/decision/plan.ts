import type { Limit, Model } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { SnapshotProvider, SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Reason } from "../errors/reason.ts";
import type { AppliedRules } from "./applied-rules.ts";

/** Where a call may lead, decided from its key, its model and the snapshot alone. */
export interface Plan {
  readonly kind: "plan";
  /** The model that was asked for. */
  readonly model: Model;
  /** The policy's limits that count this caller, by id. The key's own limit is not among them. */
  readonly limits: readonly Limit[];
  /** The usable targets in the order of their trial. Empty when each was rejected: then the call ends with NO_TARGET. */
  readonly candidates: readonly RankedTarget[];
  /** The targets that can't be used now, each with why. */
  readonly rejected: readonly RejectedTarget[];
  /** What the policy's rules say of it. Absent when the policy has none. */
  readonly rules?: AppliedRules | undefined;
}

/** A usable target and how it was placed. */
export interface RankedTarget {
  readonly target: SnapshotTarget;
  readonly provider: SnapshotProvider;
  /** Priority of its route: lower ones are tried first. */
  readonly priority: number;
  /** Weight of its route among those of the same priority, from 1. */
  readonly weight: number;
  /** Its draw, a whole number from 0 to 1,000,000,000: within a priority the highest is tried first. */
  readonly draw: number;
  /** Whether it stands behind all others whatever its priority, since it comes back from having failed. Absent for no. */
  readonly isDeferred?: boolean;
}

/** A target that was looked at and can't be used. */
export interface RejectedTarget {
  readonly target: SnapshotTarget;
  readonly reason: Reason;
  /** Id of the rule that excludes it, for the reason RULE_EXCLUDED. */
  readonly rule?: string | undefined;
}

/** An answer, not an error: why a call may not be made. It becomes an error where it leaves the process. */
export interface Denial {
  readonly kind: "denial";
  readonly reason: Reason;
  /** For the caller: `Cannot …: …`. */
  readonly message: string;
  /** What varies in the message, by snake_case name. */
  readonly facts: Readonly<Record<string, string>>;
  /** What the policy's rules say of it, when one of them denies it. */
  readonly rules?: AppliedRules;
}
