import type { Meter, OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import type { BilledTarget } from "./started-call.ts";

/** All that happened to a call. Exactly one for each call that began. */
export interface Outcome {
  readonly kind: OutcomeKind;
  /** Why it was not answered. Absent when it was. */
  readonly reason?: Reason;
  readonly endedAtMs: number;
  /** Each call to a target, in order. Empty when none was made. */
  readonly attempts: readonly AttemptOutcome[];
}

/** What came of one call to one target. */
export interface AttemptOutcome {
  readonly target: BilledTarget;
  readonly startedAtMs: number;
  /** When the first content arrived. Absent when none did. */
  readonly firstContentAtMs?: number;
  readonly endedAtMs: number;
  readonly outcome: OutcomeKind;
  /** Why it was not answered. */
  readonly reason?: Reason;
  /** HTTP status that the provider answered with; 0 when it did not. */
  readonly providerStatus: number;
  /**
   * What was measured. Absent when nobody knows: then an attempt with content, or one that was answered or cut, is billed at
   * its bound, and any other at nothing.
   */
  readonly usage?: MeasuredUsage;
}

/** Tokens by meter. The meters are disjoint: their sum is the total. */
export interface MeasuredUsage {
  readonly source: UsageSource;
  /** From 0; whole numbers. A meter that is not there counts as 0. */
  readonly quantities: ReadonlyMap<Meter, number | bigint>;
}
