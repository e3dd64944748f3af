import type { Policy, Rule } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { type Conjunct, readCondition } from "../../shared/condition/condition.ts";
import { checkRuleReach } from "./check-rule-reach.ts";
import { checkSelector } from "./check-selector.ts";
import type { Findings, Report } from "./finding.ts";
import { listWorlds, type Worlds } from "./worlds.ts";

/** A rule whose condition was understood. */
export interface ReadRule {
  readonly rule: Rule;
  /** Path of the rule, such as "rules[2]". */
  readonly path: string;
  readonly conjuncts: readonly Conjunct[];
}

/**
 * Reports what is wrong with rules: conditions that can't be read or typed or would take too long, names that lead to nothing, effects that
 * do nothing; then, as warnings, rules that can never match or never count, and those that leave nothing over.
 */
export function checkRules(policy: Policy, findings: Findings): void {
  const worlds = listWorlds(policy);
  const read = policy.rules.flatMap((rule, index): ReadRule[] => {
    const path = `rules[${index}]`;
    checkSelectors(policy, rule, path, findings.error);
    checkEffect(policy, rule, path, findings);
    const condition = readCondition(rule.when);
    if (condition.kind === "condition") {
      checkNames(condition.conjuncts, worlds, `${path}.when`, findings.error);
      return [{ rule, path, conjuncts: condition.conjuncts }];
    }
    const { offset, message } = condition;
    findings.error(`${path}.when`, condition.rule, offset < 0 ? message : `At character ${offset + 1}: ${message}`);
    return [];
  });
  checkRuleReach(read, worlds, findings);
}

function checkSelectors(policy: Policy, { tenants, models }: Rule, path: string, error: Report): void {
  tenants.forEach((selector, t) => {
    checkSelector(policy, selector, `${path}.tenants[${t}]`, error);
  });
  reportUnknown(models, policy.models, "model", `${path}.models`, error);
}

function checkEffect(policy: Policy, { effect }: Rule, path: string, findings: Findings): void {
  const { error } = findings;
  switch (effect.case) {
    case "modelsOnly":
      reportUnknown(effect.value.ids, policy.models, "model", `${path}.models_only.ids`, error);
      break;
    case "targetsOnly":
      reportUnknown(effect.value.ids, policy.targets, "target", `${path}.targets_only.ids`, error);
      reportUnknown(effect.value.providers, policy.providers, "provider", `${path}.targets_only.providers`, error);
      break;
    case "residency": {
      const { regions } = effect.value;
      reportUnknown(regions, policy.regions, "region", `${path}.residency.regions`, error);
      if (policy.providers.some((provider) => provider.regions.every((region) => regions.includes(region)))) break;
      const message = `No provider serves only ${regions.join(", ")}, so that each call that it matches would be denied`;
      findings.warn(`${path}.residency.regions`, "RESIDENCY_UNREACHABLE", message);
      break;
    }
    case "timeouts": {
      const { connect, firstToken, idle, total } = effect.value;
      if ((connect ?? firstToken ?? idle ?? total) === undefined)
        error(`${path}.timeouts`, "RULE_WITHOUT_EFFECT", "Sets no timeout; set one, or take the rule out");
    }
  }
}

/** Ids that a condition compares with and that nobody has: a misspelt one would never match, or always. */
function checkNames(conjuncts: readonly Conjunct[], worlds: Worlds, path: string, error: Report): void {
  for (const { comparison, text } of conjuncts) {
    const world = comparison === undefined ? undefined : worlds.get(comparison.fact);
    if (comparison === undefined || world === undefined) continue;
    for (const value of comparison.values) {
      if (world.ids.has(String(value))) continue;
      error(
        path,
        `${world.kind.toUpperCase()}_UNKNOWN`,
        `There is no ${world.kind} "${value}" in this policy: ${text}`,
      );
    }
  }
}

function reportUnknown(
  ids: readonly string[],
  known: readonly { readonly id: string }[],
  kind: string,
  path: string,
  error: Report,
): void {
  const there = new Set(known.map(({ id }) => id));
  ids.forEach((id, index) => {
    if (there.has(id)) return;
    error(`${path}[${index}]`, `${kind.toUpperCase()}_UNKNOWN`, `There is no ${kind} "${id}" in this policy`);
  });
}
