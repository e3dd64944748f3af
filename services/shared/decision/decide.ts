import type { Model } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant, SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Reason } from "../errors/reason.ts";
import { findGrantDenial } from "./check-grant.ts";
import { computeScore, createDrawSeed, toDraw } from "./draw.ts";
import type { Denial, Plan, RankedTarget, RejectedTarget } from "./plan.ts";
import { type DecisionTables, type IndexedRoute, ROUTE_LIMIT } from "./tables.ts";

/** A call as far as a decision needs it. */
export interface DescribedCall {
  /** What the caller's key is good for. Its secret has been checked, and its tenant is not disabled. */
  readonly grant: KeyGrant;
  /** Id of the model that is asked for, as the caller wrote it. */
  readonly model: string;
  /** Id of the call: decides the draw among weighted targets. */
  readonly eventId: string;
  /** The instant of the decision, milliseconds since 1970. */
  readonly nowMs: number;
  /** Why a target can't be used now (its credential is missing, its breaker is open). Absent when all can. */
  readonly findRejection?: (target: SnapshotTarget) => Reason | undefined;
}

const NONE: readonly RejectedTarget[] = [];
// Decisions are synchronous, so one row of scratch serves them all without an allocation.
const scores = new Float64Array(ROUTE_LIMIT);

/**
 * Decides a call: whether its key is still good and may ask for the model, which limits count it, and which targets to try in
 * which order. The same arguments always give the same answer. What a router has counted, and the money that is left, are not
 * part of it.
 */
export function decide(tables: DecisionTables, call: DescribedCall): Denial | Plan {
  const denial = findGrantDenial(call.grant, call.nowMs);
  if (denial !== undefined) return denial;
  const found = tables.models.get(call.model);
  if (found === undefined) return denyModel("MODEL_UNKNOWN", call, "the policy does not have it in this region");
  const { limits, models } = tables.getGrantFacts(call.grant);
  if (models !== undefined && !models.has(call.model)) {
    return denyModel("MODEL_NOT_ALLOWED", call, `key "${call.grant.keyId}" may not ask for it`);
  }
  const rejected = call.findRejection === undefined ? NONE : findRejected(found.routes, call.findRejection);
  const candidates = rank(found.routes, call.eventId, rejected);
  return { kind: "plan", model: found.model, limits, candidates, rejected };
}

/** The models of the region that a key may ask for, by id. */
export function listModels(tables: DecisionTables, grant: KeyGrant): Model[] {
  const { models } = tables.getGrantFacts(grant);
  return tables.snapshot.models.filter(({ id }) => models === undefined || models.has(id));
}

function findRejected(
  routes: readonly IndexedRoute[],
  findRejection: (target: SnapshotTarget) => Reason | undefined,
): readonly RejectedTarget[] {
  // Mostly there is none, and no list to make.
  let rejected: RejectedTarget[] | undefined;
  for (const { target } of routes) {
    const reason = findRejection(target);
    if (reason === undefined) continue;
    rejected ??= [];
    rejected.push({ target, reason });
  }
  return rejected ?? NONE;
}

// Sorts by insertion: routes come by priority and there are seldom more than three.
function rank(routes: readonly IndexedRoute[], eventId: string, rejected: readonly RejectedTarget[]): RankedTarget[] {
  const event = createDrawSeed(eventId);
  const ranked: RankedTarget[] = [];
  for (const { target, provider, priority, weight, seed } of routes) {
    if (rejected.length > 0 && rejected.some((other) => other.target === target)) continue;
    const score = computeScore(event, seed, weight);
    let place = ranked.length;
    while (
      place > 0 &&
      (ranked[place - 1] as RankedTarget).priority === priority &&
      (scores[place - 1] as number) < score
    ) {
      ranked[place] = ranked[place - 1] as RankedTarget;
      scores[place] = scores[place - 1] as number;
      place--;
    }
    ranked[place] = { target, provider, priority, weight, draw: toDraw(score) };
    scores[place] = score;
  }
  return ranked;
}

function denyModel(reason: "MODEL_UNKNOWN" | "MODEL_NOT_ALLOWED", { model }: DescribedCall, state: string): Denial {
  // What a caller wrote may be long and is repeated to nobody but that caller.
  const shown = model.length <= 128 ? model : `${model.slice(0, 128)}…`;
  return { kind: "denial", reason, message: `Cannot use model "${shown}": ${state}`, facts: { model: shown } };
}
