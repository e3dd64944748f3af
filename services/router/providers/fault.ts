import type { Reason } from "../../shared/errors/reason.ts";

/**
 * What a failure says of the target that failed, for whoever decides whether it is asked again:
 *
 * - *failed*: it is sick: a 5xx, a timeout, a connection that broke, an answer that is none or was cut.
 * - *unreachable*: there was no connection: nobody listens, its name or its certificate is wrong.
 * - *limited*: it is well, and has had enough of us for now.
 * - *overloaded*: it is well, and has had enough of everybody for now.
 * - *credential*, *quota*, *model*: it can't serve us until an operator does something.
 */
export type TargetFault = "failed" | "unreachable" | "limited" | "overloaded" | "credential" | "quota" | "model";

/** A failure that the caller may have brought about, so that it says nothing of the target: else one caller could take it from all others. */
export type CallersFault = "caller";

/** Faults that stay as they are until an operator acts. */
const LASTING: ReadonlySet<TargetFault> = new Set(["credential", "quota", "model"]);

/** Whether the target will say the same when it is asked the same soon. */
export function isLasting(fault: TargetFault | undefined): boolean {
  return fault !== undefined && LASTING.has(fault);
}

/** What a reason says of the target where nothing more is known. All that is no word on the provider is the caller's, or ours. */
const BY_REASON: Partial<Readonly<Record<Reason, TargetFault>>> = {
  PROVIDER_FAILED: "failed",
  PROVIDER_RATE_LIMITED: "limited",
  PROVIDER_TIMEOUT: "failed",
};

/** Finds what a failure says of its target; undefined when it says nothing. `stated` is what is known better than by the reason. */
export function findFault(reason: Reason, stated?: TargetFault | CallersFault): TargetFault | undefined {
  return stated === "caller" ? undefined : (stated ?? BY_REASON[reason]);
}
