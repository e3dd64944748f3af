import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyGrantSchema, type SnapshotRuleSchema, SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { PriorityClass, RuleEffect } from "../../../gen/weir/type/v1/decision_pb.ts";
import { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import { decide, listModels } from "./decide.ts";
import { explainRules } from "./explain-rules.ts";
import type { Denial, Plan } from "./plan.ts";
import type { AskedFacts } from "./rule-tables.ts";
import { indexSnapshot } from "./tables.ts";

type RuleInit = MessageInitShape<typeof SnapshotRuleSchema>;

const NOW_MS = Date.UTC(2026, 5, 14, 22);
const EVENT = "019b7800-0000-7000-8000-000000000001";

function createSnapshot(rules: RuleInit[]) {
  return create(SnapshotSchema, {
    region: "eu",
    version: 7n,
    policyVersion: 3n,
    organisation: "acme",
    providers: [{ id: "p1" }, { id: "p2" }],
    targets: [
      { id: "a", provider: "p1", model: "m" },
      { id: "b", provider: "p2", model: "m" },
    ],
    models: [
      { id: "large", routes: [{ target: "a" }, { target: "b", priority: 1 }] },
      { id: "small", routes: [{ target: "b" }] },
    ],
    rules,
  });
}

const grant = (fields: MessageInitShape<typeof KeyGrantSchema> = {}) =>
  create(KeyGrantSchema, {
    keyId: "abcdefghij27",
    organisation: "acme",
    team: "web",
    app: "search",
    environment: "test",
    models: ["*"],
    labels: { tier: "gold" },
    ...fields,
  });

const asked = (fields: Partial<AskedFacts> = {}): AskedFacts => ({
  operation: Operation.CHAT,
  streamed: true,
  maxOutputTokens: 500n,
  requestBytes: 4_000,
  arrivedAtMs: NOW_MS,
  ...fields,
});

function run(rules: RuleInit[], call: { model?: string; asked?: Partial<AskedFacts>; grant?: object } = {}) {
  const { model = "large" } = call;
  const described = { grant: grant(call.grant), model, eventId: EVENT, nowMs: NOW_MS, asked: asked(call.asked) };
  return decide(indexSnapshot(createSnapshot(rules)), described);
}

const plan = (...args: Parameters<typeof run>): Plan => {
  const decision = run(...args);
  expect(decision).toMatchObject({ kind: "plan" });
  return decision as Plan;
};
const deny = (...args: Parameters<typeof run>): Denial => {
  const decision = run(...args);
  expect(decision).toMatchObject({ kind: "denial", reason: "RULE_DENIED" });
  return decision as Denial;
};
const DENY = { case: "deny", value: "Not now" } as const;
const ALLOW = { case: "allow", value: {} } as const;
const only = (kase: "modelsOnly" | "targetsOnly" | "residentProviders", ...ids: string[]) =>
  ({ case: kase, value: { ids } }) as const;
const matchedOf = ({ rules }: Plan | Denial) => rules?.matched.map(({ rule }) => rule);

describe("decide() under rules", () => {
  it("denies what a rule denies, with its words for the caller and its id in the facts", () => {
    const denial = deny([{ id: "no", when: "call.streamed", effect: DENY }]);

    expect(denial).toMatchObject({ message: "Cannot start call: Not now", facts: { rule: "no" } });
    expect(deny([{ id: "no", effect: { case: "deny", value: "" } }]).message).toBe(
      'Cannot start call: rule "no" denies it',
    );
  });

  it("shields a call from the denials behind an allowance, and from none before it", () => {
    expect(
      matchedOf(
        plan([
          { id: "ok", effect: ALLOW },
          { id: "no", effect: DENY },
        ]),
      ),
    ).toEqual(["ok", "no"]);
    expect(
      matchedOf(
        deny([
          { id: "no", effect: DENY },
          { id: "ok", effect: ALLOW },
        ]),
      ),
    ).toEqual(["no"]);
  });

  it("matches the calls of its tenants and models only", () => {
    const rule: RuleInit = { id: "no", tenants: [{ team: "ops" }, { app: "search" }], models: ["large"], effect: DENY };

    deny([rule]);
    plan([rule], { model: "small" });
    plan([rule], { grant: { app: "desk" } });
    deny([rule], { grant: { team: "ops", app: "desk" } });
  });

  it("adds restrictions up, and no allowance relaxes them", () => {
    const rules: RuleInit[] = [
      { id: "ok", effect: ALLOW },
      { id: "home", effect: only("residentProviders", "p1") },
      { id: "some", effect: only("targetsOnly", "a", "b") },
    ];

    expect(plan(rules).candidates.map(({ target }) => target.id)).toEqual(["a"]);
    expect(plan(rules).rejected).toMatchObject([{ target: { id: "b" }, reason: "RULE_EXCLUDED", rule: "home" }]);
    expect(deny(rules, { model: "small" })).toMatchObject({ facts: { rule: "home", model: "small" } });
    expect(
      deny([
        { id: "ok", effect: ALLOW },
        { id: "few", effect: only("modelsOnly", "small") },
      ]),
    ).toMatchObject({
      facts: { rule: "few" },
    });
  });

  it("denies for good when rules leave no target, and says that another try can help when one is only down", () => {
    const rules: RuleInit[] = [{ id: "one", effect: only("targetsOnly", "a") }];
    const tables = indexSnapshot(createSnapshot(rules));
    const call = { grant: grant(), model: "large", eventId: EVENT, nowMs: NOW_MS };

    const decision = decide(tables, {
      ...call,
      findRejection: ({ id }) => (id === "a" ? "CREDENTIAL_MISSING" : undefined),
    });

    expect(decision).toMatchObject({ kind: "plan", candidates: [] });
    deny([{ id: "none", effect: only("targetsOnly") }]);
  });

  it("takes the smallest cap, of each timeout the shortest, and the first priority class", () => {
    const { rules } = plan([
      { id: "c1", effect: { case: "capOutputTokens", value: 900n } },
      { id: "c2", when: "call.input_bytes > 1000", effect: { case: "capOutputTokens", value: 400n } },
      { id: "t1", effect: { case: "timeouts", value: { total: { seconds: 60n }, idle: { seconds: 5n } } } },
      { id: "t2", effect: { case: "timeouts", value: { total: { seconds: 30n }, connect: { nanos: 1_500_000 } } } },
      { id: "t3", effect: { case: "timeouts", value: { total: { seconds: 40n } } } },
      { id: "p1", effect: { case: "priorityClass", value: PriorityClass.CRITICAL } },
      { id: "p2", effect: { case: "priorityClass", value: PriorityClass.SHEDDABLE } },
    ]);

    expect(rules).toMatchObject({
      outputCap: 400n,
      timeouts: { totalMs: 30_000, idleMs: 5_000, connectMs: 2 },
      priorityClass: PriorityClass.CRITICAL,
    });
  });

  it("takes a rule without an answer as matched when it denies or restricts, not when it allows or ranks", () => {
    const when = "int(caller.labels.tier) > 3";
    const failing = (effect: RuleInit["effect"]): RuleInit[] => [{ id: "odd", when, effect: effect as never }];

    expect(deny(failing(DENY)).rules).toMatchObject({ failed: ["odd"], matched: [{ rule: "odd", failed: true }] });
    deny([...failing(ALLOW), { id: "no", effect: DENY }]);
    expect(plan(failing(only("targetsOnly", "a"))).candidates).toHaveLength(1);
    expect(plan(failing({ case: "capOutputTokens", value: 5n })).rules?.outputCap).toBe(5n);
    const ranked = plan(failing({ case: "priorityClass", value: PriorityClass.CRITICAL }));
    expect(ranked.rules?.priorityClass).toBeUndefined();
    expect(ranked.rules?.matched).toMatchObject([{ effect: RuleEffect.PRIORITY_CLASS, failed: true }]);
  });

  it("asks a grant's rules once, and leaves nothing to ask where none can match", () => {
    const tables = indexSnapshot(
      createSnapshot([
        { id: "r", when: 'region == "us" && call.streamed', effect: DENY },
        { id: "g", when: 'caller.team == "ops" && call.streamed', effect: DENY },
        { id: "m", when: 'call.model == "small" && call.streamed', effect: DENY },
      ]),
    );
    const web = grant();

    const { rules } = tables.getGrantFacts(web);
    expect(rules?.forModel("large").apply(asked(), false)).toBe(
      rules?.forModel("large").apply(asked({ streamed: false }), false),
    );
    expect(rules?.forModel("small").apply(asked(), false).denial).toBeDefined();
    expect(tables.getGrantFacts(web).rules).toBe(rules);
    expect(
      indexSnapshot(createSnapshot([{ id: "x", when: "1 > 2", effect: DENY }])).getGrantFacts(web).rules,
    ).toBeUndefined();
  });

  it("asks a key's rules about that key, whichever key was asked about in between", () => {
    const tables = indexSnapshot(
      createSnapshot([{ id: "no", when: 'caller.team == "ops" || call.model == "small"', effect: DENY }]),
    );
    const [ops, web] = [grant({ team: "ops" }), grant()].map((one) => tables.getGrantFacts(one).rules);

    expect(ops?.forModel("large").deniesAll).toBe(true);
    expect(web?.forModel("large").deniesAll).toBe(false);
  });

  it("does not list a model of which every call is denied, and lists one that may be shielded", () => {
    const list = (rules: RuleInit[]) => listModels(indexSnapshot(createSnapshot(rules)), grant()).map(({ id }) => id);

    expect(list([{ id: "no", models: ["large"], effect: DENY }])).toEqual(["small"]);
    expect(list([{ id: "few", effect: only("modelsOnly", "large") }])).toEqual(["large"]);
    expect(
      list([
        { id: "ok", when: "call.streamed", effect: ALLOW },
        { id: "no", effect: DENY },
      ]),
    ).toHaveLength(2);
    expect(list([{ id: "no", when: "call.streamed", effect: DENY }])).toHaveLength(2);
    const allow = { id: "ok", when: "call.streamed", effect: ALLOW };
    expect(list([{ id: "few", effect: only("modelsOnly", "large") }, allow])).toEqual(["large"]);
    expect(list([allow, { id: "few", effect: only("modelsOnly", "large") }])).toEqual(["large"]);
    expect(list([{ id: "no", effect: DENY }, allow])).toEqual([]);
  });

  it("refuses a snapshot with a condition that it does not understand, or a rule twice", () => {
    const refused = expect.objectContaining({ reason: "SNAPSHOT_REFUSED" });

    expect(() => indexSnapshot(createSnapshot([{ id: "x", when: "call.colour == 3", effect: DENY }]))).toThrow(refused);
    expect(() =>
      indexSnapshot(
        createSnapshot([
          { id: "x", effect: DENY },
          { id: "x", effect: DENY },
        ]),
      ),
    ).toThrow(refused);
  });

  it("comes to what each rule by itself makes of the call, however far it was worked out before", () => {
    const part = fc.constantFrom(
      'region == "eu"',
      'caller.team == "web"',
      'caller.labels.tier == "gold"',
      'call.model == "large"',
      "call.streamed",
      "call.max_output_tokens > 400",
      "call.has_tools || call.input_bytes < 9",
      "now.getHours() == 22",
      "int(caller.labels.tier) > 3",
      "10 / (call.input_bytes - 4000) > 0",
      "false",
      "true",
    );
    const effect = fc.constantFrom<RuleInit["effect"]>(
      DENY,
      ALLOW,
      only("modelsOnly", "large"),
      only("targetsOnly", "a"),
      only("residentProviders", "p2"),
      { case: "capOutputTokens", value: 300n },
    );
    const rule = fc.record({
      when: fc.array(part, { maxLength: 3 }).map((parts) => parts.join(" && ")),
      models: fc.constantFrom([], ["small"]),
      effect,
    });
    const asks = fc.record({
      model: fc.constantFrom("large", "small"),
      hasTools: fc.boolean(),
      asked: fc.record({
        streamed: fc.boolean(),
        requestBytes: fc.constantFrom(1, 4_000, 5_000),
      }),
    });

    fc.assert(
      fc.property(fc.array(rule, { maxLength: 5 }), fc.array(asks, { minLength: 1, maxLength: 4 }), (rules, calls) => {
        const snapshot = createSnapshot(
          rules.map((one, index) => ({ ...one, id: `r${index}` }) as unknown as RuleInit),
        );
        const tables = indexSnapshot(snapshot);
        const web = grant();
        for (const { model, hasTools, asked: changes } of calls) {
          const facts = asked(changes);
          const decision = decide(tables, {
            grant: web,
            model,
            eventId: EVENT,
            nowMs: NOW_MS,
            asked: facts,
            hasTools,
          }) as Plan | Denial;
          const bearing = explainRules(snapshot, { grant: web, model, asked: facts, hasTools }).filter(
            ({ answer }) => answer !== "not matched",
          );
          const shown = decision.rules?.matched ?? [];
          expect(shown.map(({ rule: id, failed }) => [id, failed])).toEqual(
            bearing.slice(0, shown.length).map(({ rule: id, answer }) => [id, answer === "failed"]),
          );
          // Only a denial ends the list early.
          if (decision.rules?.denial === undefined) expect(shown).toHaveLength(bearing.length);
          else expect([RuleEffect.DENY, RuleEffect.MODELS]).toContain(shown.at(-1)?.effect);
        }
      }),
      { numRuns: 300 },
    );
  });
});
