import { create } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { SnapshotRule } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type MatchedRule, MatchedRuleSchema, RuleEffect } from "../../../gen/weir/type/v1/decision_pb.ts";
import { type Conjunct, readCondition } from "../condition/condition.ts";
import type { Facts, Stage } from "../condition/facts.ts";
import { WeirError } from "../errors/weir-error.ts";

/** Timeouts that a rule sets, milliseconds from 1; absent where it says nothing. */
export interface RuleTimeouts {
  readonly connectMs?: number;
  readonly firstTokenMs?: number;
  readonly idleMs?: number;
  readonly totalMs?: number;
}

/** A rule as far as it has been decided: what is left to ask, and whether something that was asked had no answer. */
export interface PlannedRule {
  readonly rule: SnapshotRule;
  readonly effect: RuleEffect;
  /** What its effect names: models, targets or providers. */
  readonly ids: ReadonlySet<string>;
  readonly timeouts: RuleTimeouts | undefined;
  /** What is left of its condition, those parts first that need the least. */
  readonly rest: readonly Conjunct[];
  readonly hasFailed: boolean;
  /** What a record says of it, by whether it has failed: made once, for what it comes to on disk is remembered with it. */
  readonly matched: MatchedRule;
  readonly failed: MatchedRule;
}

/** Plans a rule of a snapshot. Throws SNAPSHOT_REFUSED for a condition that this build does not understand. */
export function planRule(rule: SnapshotRule): PlannedRule {
  const condition = readCondition(rule.when);
  if (condition.kind === "refusal") {
    const message = `Cannot index snapshot: the condition of rule "${rule.id}" is refused: ${condition.message}`;
    throw new WeirError("SNAPSHOT_REFUSED", message, { facts: { stage: "RULES", rule: rule.id } });
  }
  const effect = toEffect(rule);
  return {
    rule,
    effect,
    ids: new Set(listIds(rule)),
    timeouts: rule.effect.case === "timeouts" ? readTimeouts(rule.effect.value) : undefined,
    rest: condition.conjuncts,
    hasFailed: false,
    matched: create(MatchedRuleSchema, { rule: rule.id, effect }),
    failed: create(MatchedRuleSchema, { rule: rule.id, effect, failed: true }),
  };
}

/** Asks what can be asked at a stage. Undefined when the rule does not match, whatever else is asked. */
export function narrow(planned: PlannedRule, stage: Stage, facts: Facts): PlannedRule | undefined {
  let { hasFailed } = planned;
  let asked = 0;
  for (const conjunct of planned.rest) {
    if (conjunct.stage > stage) break;
    asked += 1;
    const answer = conjunct.evaluate(facts);
    if (answer === false) return undefined;
    if (answer === "failed") hasFailed = true;
  }
  return asked === 0 ? planned : { ...planned, rest: planned.rest.slice(asked), hasFailed };
}

/** What a rule does, as records name it. */
export function toEffect({ effect }: SnapshotRule): RuleEffect {
  return effect.case === undefined ? RuleEffect.UNSPECIFIED : EFFECTS[effect.case];
}

const EFFECTS = {
  deny: RuleEffect.DENY,
  allow: RuleEffect.ALLOW,
  modelsOnly: RuleEffect.MODELS,
  targetsOnly: RuleEffect.TARGETS,
  residentProviders: RuleEffect.RESIDENCY,
  capOutputTokens: RuleEffect.OUTPUT_CAP,
  priorityClass: RuleEffect.PRIORITY_CLASS,
  timeouts: RuleEffect.TIMEOUTS,
} as const;

function listIds({ effect }: SnapshotRule): readonly string[] {
  if (effect.case === "modelsOnly" || effect.case === "targetsOnly" || effect.case === "residentProviders")
    return effect.value.ids;
  return [];
}

type WrittenTimeouts = Extract<SnapshotRule["effect"], { case: "timeouts" }>["value"];

function readTimeouts({ connect, firstToken, idle, total }: WrittenTimeouts): RuleTimeouts {
  return {
    ...(connect !== undefined && { connectMs: toMs(connect) }),
    ...(firstToken !== undefined && { firstTokenMs: toMs(firstToken) }),
    ...(idle !== undefined && { idleMs: toMs(idle) }),
    ...(total !== undefined && { totalMs: toMs(total) }),
  };
}

function toMs(duration: Duration): number {
  return Math.max(1, Math.ceil(durationMs(duration)));
}
