import type { Rule, TenantSelector } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Conjunct } from "../../shared/condition/condition.ts";
import type { ReadRule } from "./check-rules.ts";
import { findContradiction } from "./contradiction.ts";
import type { Findings } from "./finding.ts";
import type { Worlds } from "./worlds.ts";

/**
 * Warns of rules that can't do what they seem to: those that never match, those that never count since an earlier one always decides, and
 * a denial of everything. What is reported is so; what contradicts itself in ways that take more than comparisons to see is not.
 */
export function checkRuleReach(rules: readonly ReadRule[], worlds: Worlds, { warn }: Findings): void {
  rules.forEach(({ rule, path, conjuncts }, index) => {
    const never = findContradiction(conjuncts, narrowWorlds(rule, worlds));
    if (never !== undefined) warn(`${path}.when`, "RULE_NEVER_MATCHES", `It can never match: ${never}`);
    if (!decides(rule)) return;
    const earlier = rules.slice(0, index).filter((other) => decides(other.rule));
    const shadow = earlier.find((other) => isUnconditional(other.conjuncts) && covers(other.rule, rule));
    if (shadow !== undefined)
      warn(path, "RULE_SHADOWED", `It never counts: rule "${shadow.rule.id}" decides before it whatever it matches`);
    const deniesAll = rule.effect.case === "deny" && rule.tenants.length + rule.models.length === 0;
    if (deniesAll && isUnconditional(conjuncts) && !earlier.some((other) => other.rule.effect.case === "allow"))
      warn(
        path,
        "RULE_DENIES_ALL",
        "It denies every call; set tenants, models or a condition, or put an allowance before it",
      );
  });
}

function decides({ effect }: Rule): boolean {
  return effect.case === "deny" || effect.case === "allow";
}

function isUnconditional(conjuncts: readonly Conjunct[]): boolean {
  return conjuncts.every(({ constant }) => constant === true);
}

/** Whether a rule matches whatever another one matches, as far as tenants and models go. */
function covers(wide: Rule, narrow: Rule): boolean {
  const coversModels =
    wide.models.length === 0 || (narrow.models.length > 0 && narrow.models.every((id) => wide.models.includes(id)));
  const coversTenants =
    wide.tenants.length === 0 ||
    (narrow.tenants.length > 0 &&
      narrow.tenants.every((selector) => wide.tenants.some((other) => coversTenant(other, selector))));
  return coversModels && coversTenants;
}

const FIELDS = ["organisation", "team", "app", "environment"] as const;

function coversTenant(wide: TenantSelector, narrow: TenantSelector): boolean {
  return FIELDS.every((field) => wide[field] === "" || wide[field] === narrow[field]);
}

// What its own selectors leave of what facts can be.
function narrowWorlds(rule: Rule, worlds: Worlds): Worlds {
  const narrowed = new Map(worlds);
  if (rule.models.length > 0) narrowed.set("call.model", { kind: "model", ids: new Set(rule.models) });
  for (const field of FIELDS) {
    const ids = rule.tenants.map((selector) => selector[field]);
    if (ids.length > 0 && !ids.includes("")) narrowed.set(`caller.${field}`, { kind: field, ids: new Set(ids) });
  }
  return narrowed;
}
