import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type MatchedRule, type PriorityClass, RuleEffect } from "../../../gen/weir/type/v1/decision_pb.ts";
import type { PlannedRule, RuleTimeouts } from "./planned-rule.ts";

/** What the rules of a snapshot come to for a call. */
export interface AppliedRules {
  /** Those that matched or had no answer, in their order; up to the one that denies, if one does. */
  readonly matched: readonly MatchedRule[];
  /** The rule that denies the call; absent when none does. */
  readonly denial?: { readonly rule: string; readonly message: string };
  /** The rules that exclude targets. Empty mostly. */
  readonly restrictions: readonly PlannedRule[];
  /** The most tokens of each answer. */
  readonly outputCap?: bigint;
  readonly priorityClass?: PriorityClass;
  readonly timeouts?: RuleTimeouts;
  /** Ids of those that had no answer. Empty nearly always. */
  readonly failed: readonly string[];
}

/** What no rule says anything about. */
export const NO_RULES: AppliedRules = { matched: [], restrictions: [], failed: [] };

/** Adds up the rules that matched a call for a model, in their order. */
export function applyRules(rules: readonly PlannedRule[], model: string): AppliedRules {
  if (rules.length === 0) return NO_RULES;
  const sum = new RuleSum(model);
  for (const rule of rules) {
    sum.add(rule);
    if (sum.denial !== undefined) break;
  }
  return sum;
}

/** The rule that excludes a target; undefined when none does. */
export function findExclusion(restrictions: readonly PlannedRule[], target: SnapshotTarget): string | undefined {
  for (const { rule, effect, ids } of restrictions) {
    if (!ids.has(effect === RuleEffect.RESIDENCY ? target.provider : target.id)) return rule.id;
  }
  return undefined;
}

class RuleSum implements AppliedRules {
  readonly matched: MatchedRule[] = [];
  readonly restrictions: PlannedRule[] = [];
  readonly failed: string[] = [];
  denial?: { readonly rule: string; readonly message: string };
  outputCap?: bigint;
  priorityClass?: PriorityClass;
  timeouts?: RuleTimeouts;
  readonly #model: string;
  #isShielded = false;

  constructor(model: string) {
    this.#model = model;
  }

  add(planned: PlannedRule): void {
    const { rule, hasFailed } = planned;
    this.matched.push(hasFailed ? planned.failed : planned.matched);
    if (hasFailed) this.failed.push(rule.id);
    switch (rule.effect.case) {
      case "deny":
        if (!this.#isShielded) this.denial = { rule: rule.id, message: rule.effect.value };
        break;
      case "allow":
        // It may have been meant for others.
        if (!hasFailed) this.#isShielded = true;
        break;
      case "modelsOnly":
        // A restriction, which nothing relaxes.
        if (!planned.ids.has(this.#model)) this.denial = { rule: rule.id, message: "" };
        break;
      case "targetsOnly":
      case "residentProviders":
        this.restrictions.push(planned);
        break;
      case "capOutputTokens":
        this.outputCap = smaller(this.outputCap, rule.effect.value);
        break;
      case "priorityClass":
        if (!hasFailed) this.priorityClass ??= rule.effect.value;
        break;
      case "timeouts":
        this.timeouts = shorter(this.timeouts, planned.timeouts as RuleTimeouts);
        break;
    }
  }
}

function smaller(one: bigint | undefined, other: bigint): bigint {
  return one !== undefined && one < other ? one : other;
}

/** Of each timeout the shorter one. */
function shorter(one: RuleTimeouts | undefined, other: RuleTimeouts): RuleTimeouts {
  if (one === undefined) return other;
  const shortest: Record<string, number> = { ...one };
  for (const [name, ms] of Object.entries(other) as [string, number][]) {
    shortest[name] = Math.min(ms, shortest[name] ?? ms);
  }
  return shortest;
}
