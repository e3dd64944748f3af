import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type Meter, type OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import type { WeirError } from "../../shared/errors/weir-error.ts";

/** What came of one call to one target. */
export interface AttemptResult {
  readonly target: SnapshotTarget;
  /** Milliseconds since 1970, as all times here. */
  readonly startedAtMs: number;
  readonly firstContentAtMs?: number;
  readonly endedAtMs: number;
  readonly outcome: OutcomeKind;
  /** Why it was not answered. */
  readonly reason?: Reason;
  /** HTTP status of the provider; 0 when it did not answer. */
  readonly providerStatus: number;
  /** The same with what brought it about, for the log. */
  readonly error?: WeirError;
  /** What it used. Absent when nobody knows: accounting has a rule for that. */
  readonly usage?: MeasuredUsage;
  /** Whether the target was passed over, since it can't be asked what the caller asks. No provider was called. */
  readonly isSkipped?: boolean;
}

/** Tokens by meter, disjoint, and who says so. */
export interface MeasuredUsage {
  readonly source: UsageSource;
  readonly quantities: ReadonlyMap<Meter, number>;
}

/** Of an attempt that can't have cost anything. */
export const NOTHING_USED: MeasuredUsage = { source: UsageSource.UNSPECIFIED, quantities: new Map() };
