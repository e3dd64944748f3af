import type { Model } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant, SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Reason } from "../errors/reason.ts";
import { type AppliedRules, findExclusion, NO_RULES } from "./applied-rules.ts";
import { findGrantDenial } from "./check-grant.ts";
import { computeScore, createDrawSeed, toDraw } from "./draw.ts";
import type { Denial, Plan, RankedTarget, RejectedTarget } from "./plan.ts";
import type { AskedFacts } from "./rule-tables.ts";
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
  /** What rules can ask about it. Default a chat in one piece of which nothing is known, as it arrives now. */
  readonly asked?: AskedFacts;
  /** Whether its request offers the model a tool: only rules that ask for it need to know (see `GrantRules`). Default false. */
  readonly hasTools?: boolean;
  /** Why a target can't be used now (its credential is missing, its breaker is open). Absent when all can. */
  readonly findRejection?: (target: SnapshotTarget) => Reason | undefined;
}

const NONE: readonly RejectedTarget[] = [];
// Decisions are synchronous, so one row of scratch serves them all without an allocation.
const scores = new Float64Array(ROUTE_LIMIT);

/**
 * Decides a call: whether its key is still good and may ask for the model, what the policy's rules say of it, which limits count it, and
 * which targets to try in which order. The same arguments always give the same answer. What a router has counted, and the money that is left, are not
 * part of it.
 */
export function decide(tables: DecisionTables, call: DescribedCall): Denial | Plan {
  const denial = findGrantDenial(call.grant, tables.snapshot.region, call.nowMs);
  if (denial !== undefined) return denial;
  const found = tables.models.get(call.model);
  if (found === undefined) return denyModel("MODEL_UNKNOWN", call, "the policy does not have it in this region");
  const { limits, models, rules: left } = tables.getGrantFacts(call.grant);
  if (models !== undefined && !models.has(call.model)) {
    return denyModel("MODEL_NOT_ALLOWED", call, `key "${call.grant.keyId}" may not ask for it`);
  }
  const rules =
    left === undefined
      ? NO_RULES
      : left.forModel(call.model).apply(call.asked ?? toUnknown(call), call.hasTools === true);
  if (rules.denial !== undefined) return denyByRule(rules, rules.denial);
  const rejected = findRejected(found.routes, call.findRejection, rules);
  if (rejected.length === found.routes.length && rejected.every(({ rule }) => rule !== undefined)) {
    return denyByExclusion(rules, call, rejected);
  }
  const candidates = rank(found.routes, call.eventId, rejected);
  return { kind: "plan", model: found.model, limits, candidates, rejected, rules };
}

/** The models of the region that a key may ask for, by id. Those of which rules deny every call of it are not among them. */
export function listModels(tables: DecisionTables, grant: KeyGrant): Model[] {
  const { models, rules } = tables.getGrantFacts(grant);
  return tables.snapshot.models.filter(
    ({ id }) => (models === undefined || models.has(id)) && rules?.forModel(id).deniesAll !== true,
  );
}

function findRejected(
  routes: readonly IndexedRoute[],
  findRejection: ((target: SnapshotTarget) => Reason | undefined) | undefined,
  { restrictions }: AppliedRules,
): readonly RejectedTarget[] {
  if (findRejection === undefined && restrictions.length === 0) return NONE;
  // Mostly there is none, and no list to make.
  let rejected: RejectedTarget[] | undefined;
  for (const { target } of routes) {
    // What the policy excludes stays so, whatever the target is like now.
    const rule = restrictions.length === 0 ? undefined : findExclusion(restrictions, target);
    const reason = rule === undefined ? findRejection?.(target) : "RULE_EXCLUDED";
    if (reason === undefined) continue;
    rejected ??= [];
    rejected.push(rule === undefined ? { target, reason } : { target, reason, rule });
  }
  return rejected ?? NONE;
}

function toUnknown({ nowMs }: DescribedCall): AskedFacts {
  return {
    operation: Operation.CHAT,
    streamed: false,
    maxOutputTokens: undefined,
    requestBytes: 0,
    arrivedAtMs: nowMs,
  };
}

function denyByRule(rules: AppliedRules, { rule, message }: NonNullable<AppliedRules["denial"]>): Denial {
  const why = message === "" ? `rule "${rule}" denies it` : message;
  return { kind: "denial", reason: "RULE_DENIED", message: `Cannot start call: ${why}`, facts: { rule }, rules };
}

// Not NO_TARGET, which says that trying again can help.
function denyByExclusion(rules: AppliedRules, { model }: DescribedCall, [first]: readonly RejectedTarget[]): Denial {
  const rule = first?.rule ?? "";
  const message = `Cannot start call: rule "${rule}" leaves no target of model "${model}" to serve it`;
  return { kind: "denial", reason: "RULE_DENIED", message, facts: { rule, model }, rules };
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
