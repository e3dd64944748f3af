import { equals, toJson } from "@bufbuild/protobuf";
import { type Policy, type Rule, RuleSchema, TimeoutsSchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ChangeKind, type PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { PriorityClassSchema } from "../../../gen/weir/type/v1/decision_pb.ts";
import { createChange } from "./change.ts";
import { describeSelectors } from "./describe-selector.ts";
import type { KeyTally } from "./key-tally.ts";

/**
 * Which rules are new, gone, others or in another order, each as a sentence of what it does, to whom and when, with the living keys of its
 * tenants. Whether a condition is true is decided call by call and not told here.
 */
export function compareRules(before: Policy, after: Policy, keys: KeyTally): PolicyChange[] {
  const old = new Map(before.rules.map((rule) => [rule.id, rule]));
  const now = new Set(after.rules.map(({ id }) => id));
  const name = (rule: Rule, index: number) => {
    return { thing: "rule", id: rule.id, field: `rules[${index}]`, keys: keys.count(rule.tenants) };
  };
  const gone = before.rules.flatMap((rule, index) => {
    if (now.has(rule.id)) return [];
    return createChange({ ...name(rule, index), kind: ChangeKind.REMOVED, before: describeRule(rule) });
  });
  const others = after.rules.flatMap((rule, index) => {
    const was = old.get(rule.id);
    const text = describeRule(rule);
    if (was === undefined) return createChange({ ...name(rule, index), kind: ChangeKind.ADDED, after: text });
    if (equals(RuleSchema, was, rule)) return [];
    return createChange({ ...name(rule, index), kind: ChangeKind.CHANGED, before: describeRule(was), after: text });
  });
  return [...gone, ...others, ...compareOrder(before, after)];
}

// The first rule that denies or allows ends the question, so their order has a meaning.
function compareOrder(before: Policy, after: Policy): PolicyChange[] {
  const [old, now] = [before, after].map(({ rules }) => new Set(rules.map(({ id }) => id))) as [
    Set<string>,
    Set<string>,
  ];
  const was = [...old].filter((id) => now.has(id)).join(", ");
  const is = [...now].filter((id) => old.has(id)).join(", ");
  if (was === is) return [];
  return [createChange({ kind: ChangeKind.REORDERED, thing: "rule", field: "rules", before: was, after: is })];
}

/** A rule in words: 'denies calls of team "web" of organisation "acme" for models "large" when call.has_tools'. */
function describeRule(rule: Rule): string {
  const models = rule.models.length === 0 ? "" : ` for models ${quote(rule.models)}`;
  const when = rule.when === "" ? "" : ` when ${rule.when.replaceAll(/\s+/g, " ").trim()}`;
  const displayName = rule.displayName === "" ? "" : ` ("${rule.displayName}")`;
  return `${describeEffect(rule.effect)} of ${describeSelectors(rule.tenants)}${models}${when}${displayName}`;
}

/** An effect in words that end with the calls, to be followed by whose. */
function describeEffect(effect: Rule["effect"]): string {
  switch (effect.case) {
    case "deny":
      return `${effect.value.message === "" ? "denies" : `denies, saying "${effect.value.message}",`} calls`;
    case "allow":
      return "shields from later denials calls";
    case "modelsOnly":
      return `opens models ${quote(effect.value.ids)} only to calls`;
    case "targetsOnly": {
      const { ids, providers } = effect.value;
      const parts = [
        ids.length > 0 && `targets ${quote(ids)}`,
        providers.length > 0 && `providers ${quote(providers)}`,
      ];
      return `lets ${parts.filter(Boolean).join(" and ")} only serve calls`;
    }
    case "residency":
      return `keeps in ${effect.value.regions.join(", ")} calls`;
    case "capOutputTokens":
      return `caps at ${effect.value} tokens answers to calls`;
    case "priorityClass":
      return `gives ${PriorityClassSchema.value[effect.value]?.name} to calls`;
    case "timeouts":
      return `gives timeouts ${JSON.stringify(toJson(TimeoutsSchema, effect.value))} to calls`;
    case undefined:
      return "does nothing to calls";
  }
}

function quote(ids: readonly string[]): string {
  return ids.map((id) => `"${id}"`).join(", ");
}
