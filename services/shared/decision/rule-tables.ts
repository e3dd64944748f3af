import type { KeyGrant, Snapshot } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import { type CallerFacts, type Facts, Stage } from "../condition/facts.ts";
import { type AppliedRules, applyRules } from "./applied-rules.ts";
import { fitsTenants } from "./limits.ts";
import { narrow, type PlannedRule, planRule } from "./planned-rule.ts";

/** What rules can ask about a call, beside its key and its model. Any arrived call is one. */
export interface AskedFacts {
  readonly operation: Operation;
  readonly streamed: boolean;
  /** The most tokens of one answer; undefined when the caller does not say. */
  readonly maxOutputTokens: bigint | undefined;
  /** Bytes of the request's body. */
  readonly requestBytes: number;
  /** Milliseconds since 1970. */
  readonly arrivedAtMs: number;
}

/** The rules that can match calls of a key. */
export interface GrantRules {
  /** Whether one of them asks for tools: then a decision must be told whether the request offers any. */
  readonly asksForTools: boolean;
  /** The rules that can match its calls for a model of the region. The same object each time. */
  forModel(model: string): ModelRules;
}

/** The rules that can match calls of a key for a model: nothing but the call itself is left to ask about. */
export interface ModelRules {
  /** Whether no call of them can begin, whatever it asks. */
  readonly deniesAll: boolean;
  /** What they come to for a call. `hasTools`: whether its request offers the model a tool, for rules that ask for it. */
  apply(asked: AskedFacts, hasTools: boolean): AppliedRules;
}

/** Finds what is left of a snapshot's rules for a key. */
export type FindGrantRules = (grant: KeyGrant) => GrantRules | undefined;

/**
 * Plans the rules of a snapshot. What it returns says what is left of them for a grant; undefined when that is nothing. Each part of a condition is asked
 * once for as long as what it asks about stays the same: with the snapshot, the grant, the model or the call. Undefined when the snapshot
 * has no rules. Throws SNAPSHOT_REFUSED for a rule that this build does not understand.
 */
export function planRules({ region, rules }: Pick<Snapshot, "region" | "rules">): FindGrantRules | undefined {
  if (rules.length === 0) return undefined;
  const facts = createFacts(region);
  const planned = rules.map(planRule).flatMap((rule) => narrow(rule, Stage.SNAPSHOT, facts) ?? []);
  return (grant) => {
    const caller = toCallerFacts(grant);
    facts.caller = caller;
    const left = planned.flatMap((rule) =>
      fitsTenants(rule.rule.tenants, grant) ? (narrow(rule, Stage.GRANT, facts) ?? []) : [],
    );
    return left.length === 0 ? undefined : createGrantRules(left, caller, facts);
  };
}

function createGrantRules(rules: readonly PlannedRule[], caller: CallerFacts, facts: Facts): GrantRules {
  // As many as the snapshot has models: others are refused before.
  const models = new Map<string, ModelRules>();
  return {
    asksForTools: rules.some(({ rest }) => rest.some(({ stage }) => stage === Stage.TOOLS)),
    forModel(model) {
      let found = models.get(model);
      if (found === undefined) {
        facts.caller = caller;
        facts.model = model;
        const left = rules.flatMap((rule) => (fitsModel(rule, model) ? (narrow(rule, Stage.MODEL, facts) ?? []) : []));
        found = new PlannedModelRules(left, caller, model, facts);
        models.set(model, found);
      }
      return found;
    },
  };
}

class PlannedModelRules implements ModelRules {
  readonly deniesAll: boolean;
  readonly #rules: readonly PlannedRule[];
  readonly #caller: CallerFacts;
  readonly #model: string;
  /** Shared by all calls: decisions are synchronous. */
  readonly #facts: Facts;
  /** What the rules without a question left come to, when none of the others matches. */
  readonly #fixed: AppliedRules;
  readonly #isFixed: boolean;

  constructor(rules: readonly PlannedRule[], caller: CallerFacts, model: string, facts: Facts) {
    this.#rules = rules;
    this.#caller = caller;
    this.#model = model;
    this.#facts = facts;
    const fixed = rules.filter(({ rest }) => rest.length === 0);
    this.#fixed = applyRules(fixed, model);
    this.#isFixed = fixed.length === rules.length;
    // Of the others only those that shield can make a call possible: as if each did.
    const kindest = rules.filter(({ rule, rest }) => rest.length === 0 || rule.effect.case === "allow");
    this.deniesAll = applyRules(kindest, model).denial !== undefined;
  }

  apply(asked: AskedFacts, hasTools: boolean): AppliedRules {
    if (this.#isFixed) return this.#fixed;
    const facts = this.#facts;
    fillFacts(facts, this.#caller, this.#model, asked);
    facts.hasTools = hasTools;
    const rules = this.#rules;
    // Mostly none of the others matches, and there is nothing to add up.
    let matched: PlannedRule[] | undefined;
    for (let index = 0; index < rules.length; index++) {
      const rule = rules[index] as PlannedRule;
      if (rule.rest.length === 0) {
        matched?.push(rule);
        continue;
      }
      const narrowed = narrow(rule, Stage.TOOLS, facts);
      if (narrowed === undefined) continue;
      matched ??= rules.slice(0, index).filter(({ rest }) => rest.length === 0);
      matched.push(narrowed);
    }
    return matched === undefined ? this.#fixed : applyRules(matched, this.#model);
  }
}

function fitsModel({ rule }: PlannedRule, model: string): boolean {
  return rule.models.length === 0 || rule.models.includes(model);
}

/** What conditions ask about a call, all of it. */
export function toFacts(
  region: string,
  { grant, model, asked, hasTools }: { grant: KeyGrant; model: string; asked: AskedFacts; hasTools: boolean },
): Facts {
  const facts = createFacts(region);
  fillFacts(facts, toCallerFacts(grant), model, asked);
  facts.hasTools = hasTools;
  return facts;
}

function createFacts(region: string): Facts {
  return {
    region,
    caller: { organisation: "", team: "", app: "", environment: "", keyId: "", labels: {} },
    model: "",
    operation: "",
    streamed: false,
    maxOutputTokens: 0,
    inputBytes: 0,
    hasTools: false,
    nowMs: 0,
  };
}

function toCallerFacts({ organisation, team, app, environment, keyId, labels }: KeyGrant): CallerFacts {
  return { organisation, team, app, environment, keyId, labels };
}

function fillFacts(facts: Facts, caller: CallerFacts, model: string, asked: AskedFacts): void {
  const { maxOutputTokens } = asked;
  facts.caller = caller;
  facts.model = model;
  facts.operation = OPERATIONS[asked.operation] ?? "";
  facts.streamed = asked.streamed;
  facts.maxOutputTokens = maxOutputTokens === undefined ? 0 : Number(maxOutputTokens);
  facts.inputBytes = asked.requestBytes;
  facts.nowMs = asked.arrivedAtMs;
}

const OPERATIONS: Readonly<Record<Operation, string>> = {
  [Operation.UNSPECIFIED]: "",
  [Operation.CHAT]: "chat",
  [Operation.EMBEDDING]: "embedding",
  [Operation.TOOL_CALL]: "tool_call",
};
