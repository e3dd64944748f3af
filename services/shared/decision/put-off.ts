import type { Reason } from "../errors/reason.ts";
import type { Plan, RankedTarget, RejectedTarget } from "./plan.ts";

/** When a candidate is asked: in its place, after all others, or not at all for a reason. */
export type Turn = "in place" | "last" | Reason;

/**
 * Takes candidates out of a plan, or behind all others; adds none. The order of those that share a turn stays. Returns the plan itself when each
 * is asked in its place.
 */
export function putOff(plan: Plan, findTurn: (candidate: RankedTarget, index: number) => Turn): Plan {
  const placed: RankedTarget[] = [];
  const late: RankedTarget[] = [];
  const rejected: RejectedTarget[] = [];
  plan.candidates.forEach((candidate, index) => {
    const turn = findTurn(candidate, index);
    if (turn === "in place") placed.push(candidate);
    else if (turn === "last") late.push({ ...candidate, isDeferred: true });
    else rejected.push({ target: candidate.target, reason: turn });
  });
  if (late.length + rejected.length === 0) return plan;
  return { ...plan, candidates: [...placed, ...late], rejected: [...plan.rejected, ...rejected] };
}
