import type { KeyGrant, Snapshot, SnapshotRule } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { RuleEffect } from "../../../gen/weir/type/v1/decision_pb.ts";
import { fitsTenants } from "./limits.ts";
import { planRule, toEffect } from "./planned-rule.ts";
import { type AskedFacts, toFacts } from "./rule-tables.ts";

/** What a rule makes of a call, by itself. */
export interface RuleExplanation {
  readonly rule: string;
  readonly effect: RuleEffect;
  readonly answer: "matched" | "failed" | "not matched";
  /** Why it is not matched, or what has failed: a part of its condition, as text, or the selector that does not fit. Empty when it matched. */
  readonly because: string;
}

/** A call as explanations need it. */
export interface ExplainedCall {
  readonly grant: KeyGrant;
  readonly model: string;
  readonly asked: AskedFacts;
  /** Whether its request offers the model a tool. */
  readonly hasTools: boolean;
}

/**
 * Says of each rule what it makes of a call and why, in their order. It asks every part of every condition, so that it is for people and tests
 * only: `decide` gives the same answers from what it has worked out before.
 */
export function explainRules(
  { region, rules }: Pick<Snapshot, "region" | "rules">,
  call: ExplainedCall,
): RuleExplanation[] {
  return rules.map((rule) => ({ rule: rule.id, effect: toEffect(rule), ...explain(rule, region, call) }));
}

function explain(rule: SnapshotRule, region: string, call: ExplainedCall): Pick<RuleExplanation, "answer" | "because"> {
  const { grant, model } = call;
  if (!fitsTenants(rule.tenants, grant)) return { answer: "not matched", because: "tenants" };
  if (rule.models.length > 0 && !rule.models.includes(model)) return { answer: "not matched", because: "models" };
  const facts = toFacts(region, call);
  let failed: string | undefined;
  for (const conjunct of planRule(rule).rest) {
    const answer = conjunct.evaluate(facts);
    if (answer === false) return { answer: "not matched", because: conjunct.text };
    if (answer === "failed") failed ??= conjunct.text;
  }
  return failed === undefined ? { answer: "matched", because: "" } : { answer: "failed", because: failed };
}
