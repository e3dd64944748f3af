import { DRAW_RANGE } from "../../shared/decision/draw.ts";
import type { Plan, RankedTarget } from "../../shared/decision/plan.ts";
import { putOff } from "../../shared/decision/put-off.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import type { Denial } from "../admission/admission.ts";

/** How a candidate is seen by one call. */
export type View =
  /** In rotation. `share` of the calls, from 0 to 1, ask it in its place, the others last. */
  | { readonly kind: "in"; readonly share: number }
  /** To be asked by this call in its place, to see how it is. */
  | { readonly kind: "due" }
  /** Not to be asked, and why. With nothing better it may be from `tryMs` on. */
  | { readonly kind: "absent"; readonly reason: Reason; readonly tryMs: number }
  /** The same, but another call is finding out how it is, and by the time that this one has nothing better it may be well. */
  | { readonly kind: "probed"; readonly reason: Reason; readonly tryMs: number };

const GOOD: View = { kind: "in", share: 1 };

/**
 * Sifts a plan by how its targets stand: some are rejected, some asked later than their place says, and none is added. When that
 * leaves none, those that may be tried for want of anything better stay; else the call is denied, with when it may come again.
 *
 * `view` returns undefined for a target of which nothing bad is known. A plan that was empty before stays as it is.
 */
export function siftPlan(
  plan: Plan,
  nowMs: number,
  view: (candidate: RankedTarget) => View | undefined,
): Plan | Denial {
  if (plan.candidates.length === 0) return plan;
  const views = plan.candidates.map((candidate) => view(candidate) ?? GOOD);
  if (views.every(isAbsent)) return takeLone(plan, nowMs, views);
  const isLate = plan.candidates.map((candidate, index) => isDeferred(candidate, views[index]!));
  // Put behind others only where others do well.
  const hasBetter = views.some(({ kind }, index) => kind === "in" && !isLate[index]);
  return putOff(plan, (_, index) => {
    const seen = views[index]!;
    if (seen.kind === "absent") return seen.reason;
    return seen.kind === "probed" || (hasBetter && isLate[index]) ? "last" : "in place";
  });
}

type Absent = Extract<View, { kind: "absent" | "probed" }>;

function isAbsent(view: View): view is Absent {
  return view.kind === "absent" || view.kind === "probed";
}

/** A call's draw for a target is even between 0 and 1 once its weight is taken out of it. */
function isDeferred({ draw, weight }: RankedTarget, seen: View): boolean {
  return seen.kind === "in" && seen.share < 1 && (draw / DRAW_RANGE) ** weight < 1 - seen.share;
}

function takeLone(plan: Plan, nowMs: number, views: readonly Absent[]): Plan | Denial {
  if (views.every(({ tryMs }) => tryMs > nowMs)) return deny(plan.model.id, nowMs, views);
  return putOff(plan, (_, index) => {
    const { tryMs, reason } = views[index]!;
    return tryMs <= nowMs ? "in place" : reason;
  });
}

function deny(model: string, nowMs: number, views: readonly Absent[]): Denial {
  const retryAfterMs = Math.ceil(Math.min(...views.map(({ tryMs }) => tryMs)) - nowMs);
  const isLimited = views.every(({ reason }) => reason === "PROVIDER_RATE_LIMITED");
  const state = isLimited ? "is at its provider's rate limit" : "is out of rotation";
  return {
    kind: "denial",
    reason: isLimited ? "PROVIDER_RATE_LIMITED" : "TARGET_EJECTED",
    message: `Cannot start call: every target of model "${model}" ${state} for the next ${retryAfterMs} ms`,
    facts: { model, retry_after_ms: String(retryAfterMs) },
    retryAfterMs,
  };
}
