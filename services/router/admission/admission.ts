import type { Limit } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Caller } from "../../../gen/weir/type/v1/caller_pb.ts";
import type { Denial as Denied, Plan } from "../../shared/decision/plan.ts";
import type { PinnedPolicy } from "../../shared/snapshot/hold.ts";

/** A caller's leave to have one call made: who it is, where it may lead, under which policy. */
export interface Admission {
  readonly kind: "admission";
  readonly caller: Caller;
  readonly grant: KeyGrant;
  /** Whether the request offers the model a tool; false as well when no rule asks. */
  readonly hasTools: boolean;
  /** The usable targets in order, and each candidate that was looked at. */
  readonly plan: Plan;
  /** The limits that counted this call. */
  readonly limits: readonly CountedLimit[];
  /** What the call runs under from here to its end. */
  readonly pinned: PinnedPolicy;
}

/** A limit as it counts for one caller. */
export interface CountedLimit {
  /** Id of the policy's limit, or "key" for the key's own. */
  readonly id: string;
  /** Whom it counts for together, such as "acme/search" for a limit per team. */
  readonly subject: string;
  readonly requestsPerMinute: Limit["requestsPerMinute"];
  /** Of id and subject: what the limit is counted under. */
  readonly counter: string;
}

/** An answer, not an error: why a call was not admitted. Turned into an error in the one place where it leaves the process. */
export interface Denial extends Denied {
  /** After how long trying again can help. Absent when it cannot. */
  readonly retryAfterMs?: number;
  /** Who was denied; only when the key is known, its secret included. Without it nothing is written anywhere. */
  readonly caller?: Caller;
}
