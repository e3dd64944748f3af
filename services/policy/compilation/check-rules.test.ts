import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Severity } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { checkPolicy } from "./check-policy.ts";
import { compileSnapshot } from "./compile.ts";
import { samplePolicy } from "./policy.fixture.ts";

const DENY = { deny: {} };
const ALLOW = { allow: {} };

function withRules(...rules: object[]) {
  return samplePolicy((json) => Object.assign(json, { rules }));
}

function find(...rules: object[]): string[] {
  return checkPolicy(withRules(...rules)).map(
    ({ field, rule, severity }) => `${severity === Severity.ERROR ? "ERROR" : "WARNING"} ${field} ${rule}`,
  );
}

describe("checkPolicy() of rules", () => {
  it("finds nothing wrong with good ones", () => {
    expect(
      find(
        { id: "ops", tenants: [{ team: "ops" }], models: ["any"], when: 'region == "eu"', ...ALLOW },
        {
          id: "night",
          when: 'now.getHours("Europe/Berlin") < 6 && caller.labels.tier != "gold"',
          deny: { message: "At night" },
        },
        { id: "few", tenants: [{ organisation: "other" }], modelsOnly: { ids: ["any"] } },
        { id: "there", when: "call.has_tools", targetsOnly: { ids: ["local/small"], providers: ["global"] } },
        { id: "home", when: 'caller.environment == "production"', residency: { regions: ["eu"] } },
        { id: "cap", capOutputTokens: 4000 },
        { id: "rank", when: 'caller.agent != ""', priorityClass: "PRIORITY_CLASS_SHEDDABLE" },
        { id: "hurry", when: "call.streamed", timeouts: { total: "60s" } },
      ),
    ).toEqual([]);
  });

  it.each<[string, string, object]>([
    ["no effect", "rules[0].effect REQUIRED", {}],
    ["an unknown model", "rules[0].models[0] MODEL_UNKNOWN", { models: ["huge"], ...DENY }],
    ["an unknown tenant", "rules[0].tenants[0].team TENANT_UNKNOWN", { tenants: [{ team: "nobody" }], ...DENY }],
    [
      "a restriction to an unknown model",
      "rules[0].models_only.ids[1] MODEL_UNKNOWN",
      { modelsOnly: { ids: ["any", "huge"] } },
    ],
    ["a restriction to no model", "rules[0].models_only.ids REPEATED_MIN_ITEMS", { modelsOnly: {} }],
    [
      "a restriction to an unknown target",
      "rules[0].targets_only.ids[0] TARGET_UNKNOWN",
      { targetsOnly: { ids: ["x"] } },
    ],
    [
      "a restriction to an unknown provider",
      "rules[0].targets_only.providers[0] PROVIDER_UNKNOWN",
      { targetsOnly: { providers: ["x"] } },
    ],
    ["a restriction to nothing", "rules[0].targets_only TARGET_RESTRICTION_SOME", { targetsOnly: {} }],
    [
      "residency in an unknown region",
      "rules[0].residency.regions[0] REGION_UNKNOWN",
      { residency: { regions: ["asia"] } },
    ],
    ["a cap of nothing", "rules[0].cap_output_tokens INT64_GTE_LTE", { capOutputTokens: 0 }],
    ["no timeout at all", "rules[0].timeouts RULE_WITHOUT_EFFECT", { timeouts: {} }],
    ["a condition that can't be parsed", "rules[0].when CONDITION_SYNTAX", { when: "call.model ==", ...DENY }],
    ["an unknown fact", "rules[0].when CONDITION_FACT_UNKNOWN", { when: "call.colour == 3", ...DENY }],
    ["a condition that is no question", "rules[0].when CONDITION_TYPE", { when: "call.model", ...DENY }],
    ["a comparison of kinds", "rules[0].when CONDITION_TYPE", { when: "call.model == 3", ...DENY }],
    ["a loop too much", "rules[0].when CONDITION_TOO_COSTLY", { when: "[1].all(a, [2].all(b, a < b))", ...DENY }],
    ["a model that nobody has", "rules[0].when MODEL_UNKNOWN", { when: 'call.model in ["any", "huge"]', ...DENY }],
    ["a team that nobody has", "rules[0].when TEAM_UNKNOWN", { when: '"opps" != caller.team', ...DENY }],
    ["an operation that is none", "rules[0].when OPERATION_UNKNOWN", { when: 'call.operation == "image"', ...DENY }],
  ])("refuses %s", (_, expected, rule) => {
    expect(find({ id: "r", ...rule })).toContain(`ERROR ${expected}`);
  });

  it("says where in a condition something is wrong", () => {
    expect(
      checkPolicy(withRules({ id: "r", when: 'region == "eu" && caller.tem == "x"', ...DENY }))[0]?.message,
    ).toMatch(/^At character 25: There is no "caller.tem" here; known are /);
  });

  it("refuses an id twice", () => {
    expect(find({ id: "a", when: "call.streamed", ...DENY }, { id: "a", ...ALLOW })).toContain(
      "ERROR rules[1].id ID_DUPLICATE",
    );
  });

  it.each([
    ["false", "a constant"],
    ["1 > 2 && call.streamed", "a part of it"],
    ['caller.team == "web" && caller.team == "ops"', "two values of one fact"],
    ['call.model in ["any"] && call.model != "any"', "a value that is taken away"],
    ["call.max_output_tokens > 10 && call.max_output_tokens < 11", "no integer between"],
    ["call.input_bytes < 0", "a number that none can be"],
    ["call.streamed && !call.streamed", "a fact and its opposite"],
    ['!(region in ["eu", "us"])', "all that there is taken away"],
    ['caller.labels.tier == "a" && caller.labels.tier in ["b", "c"]', "a label"],
    ['now < timestamp("2026-01-01T00:00:00Z") && now > timestamp("2026-01-02T00:00:00Z")', "an instant"],
  ])("warns of the condition %s, which can never hold: %s", (when) => {
    expect(find({ id: "r", when, ...DENY })).toEqual(["WARNING rules[0].when RULE_NEVER_MATCHES"]);
  });

  it("warns of a condition that its own selectors contradict", () => {
    expect(find({ id: "r", models: ["any"], when: 'call.model == "large"', ...DENY })).toEqual([
      "WARNING rules[0].when RULE_NEVER_MATCHES",
    ]);
    expect(
      find({ id: "r", tenants: [{ team: "web" }, { team: "ops" }], when: 'caller.team == "ops"', ...DENY }),
    ).toEqual([]);
  });

  it.each([
    'caller.team == "web" || caller.team == "ops"',
    "call.max_output_tokens > 10 && call.max_output_tokens < 12",
    'caller.labels.tier != "a" && caller.labels.tier != "b"',
    "call.max_output_tokens == 0",
  ])("does not warn of %s", (when) => {
    expect(find({ id: "r", when, ...DENY })).toEqual([]);
  });

  it("warns of a rule that never counts since an earlier one decides", () => {
    const web = { tenants: [{ organisation: "acme", team: "web" }] };

    expect(
      find(
        { id: "a", tenants: [{ organisation: "acme" }], ...ALLOW },
        { id: "b", ...web, when: "call.streamed", ...DENY },
      ),
    ).toEqual(["WARNING rules[1] RULE_SHADOWED"]);
    expect(find({ id: "a", ...web, ...ALLOW }, { id: "b", tenants: [{ organisation: "acme" }], ...DENY })).toEqual([]);
    expect(find({ id: "a", ...web, ...ALLOW }, { id: "b", ...web, capOutputTokens: 5 })).toEqual([]);
  });

  it("warns of a denial of everything, unless something is allowed before it", () => {
    expect(find({ id: "r", ...DENY })).toEqual(["WARNING rules[0] RULE_DENIES_ALL"]);
    expect(find({ id: "a", tenants: [{ team: "web" }], ...ALLOW }, { id: "r", ...DENY })).toEqual([]);
  });

  it("warns of a residency that no provider keeps", () => {
    expect(find({ id: "r", residency: { regions: ["us"] } })).toEqual([
      "WARNING rules[0].residency.regions RESIDENCY_UNREACHABLE",
    ]);
  });
});

describe("compileSnapshot() of rules", () => {
  const compile = (region: string, ...rules: object[]) => {
    const { content, features } = compileSnapshot(withRules(...rules), { region, version: 1n, policyVersion: 1n });
    return { rules: fromBinary(SnapshotSchema, content).rules, features };
  };

  it("requires of routers that they know rules, where there are any", () => {
    expect(compile("eu", { id: "r", ...DENY }).features).toEqual(["rules"]);
    expect(compile("eu").features).toEqual([]);
  });

  it("names nothing that the region does not have, and keeps a restriction of which nothing is left", () => {
    const local = { id: "local", targetsOnly: { ids: ["local/small"] } };

    expect(compile("eu", local).rules[0]?.effect.value).toMatchObject({ ids: ["local/small"] });
    expect(compile("us", local).rules[0]?.effect).toMatchObject({ case: "targetsOnly", value: { ids: [] } });
    expect(compile("us", { id: "p", targetsOnly: { providers: ["global"] } }).rules[0]?.effect.value).toMatchObject({
      ids: ["global/large"],
    });
  });

  it("keeps a residency to the regions that it names and the providers that serve no other", () => {
    const home = { id: "home", residency: { regions: ["eu"] } };

    expect(compile("eu", home).rules[0]?.effect).toMatchObject({
      case: "residentProviders",
      value: { ids: ["local"] },
    });
    expect(compile("us", home).rules[0]?.effect).toMatchObject({ case: "residentProviders", value: { ids: [] } });
    const both = { id: "both", residency: { regions: ["eu", "us"] } };
    expect(compile("us", both).rules[0]?.effect.value).toMatchObject({ ids: ["global"] });
  });

  it("leaves out a rule for models that the region does not have", () => {
    const policy = samplePolicy((json) => {
      json.models.push({ id: "home", routes: [{ target: "local/small" }] });
      Object.assign(json, { rules: [{ id: "r", models: ["home"], ...DENY }] });
    });

    const { content } = compileSnapshot(policy, { region: "us", version: 1n, policyVersion: 1n });

    expect(fromBinary(SnapshotSchema, content).rules).toEqual([]);
  });
});
