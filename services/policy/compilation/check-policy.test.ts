import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { PolicySchema, Severity } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { checkPolicy } from "./check-policy.ts";
import { samplePolicy, type samplePolicyJson } from "./policy.fixture.ts";

type Json = ReturnType<typeof samplePolicyJson>;
// biome-ignore lint/suspicious/noExplicitAny: tests break the sample in ways that its type forbids.
type Broken = any;

function find(change: (json: Broken) => void): string[] {
  return checkPolicy(samplePolicy(change as (json: Json) => void)).map(({ field, rule }) => `${field} ${rule}`);
}

describe("checkPolicy()", () => {
  it("finds nothing wrong with a good policy", () => {
    const findings = checkPolicy(samplePolicy((json) => json.models.pop()));

    // Its one removed model was the only one that led to local/small.
    expect(findings).toMatchObject([{ field: "targets[1]", rule: "TARGET_UNUSED", severity: Severity.WARNING }]);
    expect(checkPolicy(samplePolicy())).toEqual([]);
  });

  it.each<[string, string, (json: Broken) => void]>([
    ["an organisation that is not there", "organisation ORGANISATION_UNKNOWN", (p) => (p.organisation = "nobody")],
    ["an id in a wrong form", "organisation STRING_PATTERN", (p) => (p.organisation = "Nobody")],
    ["no region", "regions REPEATED_MIN_ITEMS", (p) => (p.regions = [])],
    ["the control plane as a region", "regions[1].id STRING_NOT_IN", (p) => (p.regions[1].id = "control")],
    ["a region twice", "regions[1].id ID_DUPLICATE", (p) => (p.regions[1].id = "eu")],
    [
      "a wave for a region that is not there",
      "rollout.waves[0].regions[0] REGION_UNKNOWN",
      (p) => (p.rollout = { waves: [{ regions: ["asia"] }] }),
    ],
    [
      "a wave that watches its routers for more than a day",
      "rollout.waves[0].bake DURATION_GTE_LTE",
      (p) => (p.rollout = { waves: [{ bake: "86401s" }] }),
    ],
    [
      "a delay of routers that is less than can be told",
      "rollout.gates.overhead_p95 DURATION_GTE_LTE",
      (p) => (p.rollout = { gates: { overheadP95: "0.0005s" } }),
    ],
    [
      "a version of the API for a dialect without one",
      "providers[0].api_version SETTING_UNUSED",
      (p) => (p.providers[0].apiVersion = "2024-10-21"),
    ],
    [
      "no region of the cloud where requests are signed for one",
      "providers[1].cloud_region CLOUD_REGION_MISSING",
      (p) => (p.providers[1].dialect = "DIALECT_BEDROCK"),
    ],
    [
      "a region of the cloud for nothing",
      "providers[1].cloud_region SETTING_UNUSED",
      (p) => (p.providers[1].cloudRegion = "eu-central-1"),
    ],
    [
      "a kind of server for a dialect that has one kind",
      "providers[1].server SETTING_UNUSED",
      (p) => Object.assign(p.providers[1], { dialect: "DIALECT_ANTHROPIC", server: "SERVER_VLLM" }),
    ],
    ["a provider twice", "providers[1].id ID_DUPLICATE", (p) => (p.providers[1].id = "global")],
    ["a target twice", "targets[1].id ID_DUPLICATE", (p) => (p.targets[1].id = "global/large")],
    ["a model twice", "models[1].id ID_DUPLICATE", (p) => (p.models[1].id = "large")],
    ["a limit twice", "limits[1].id ID_DUPLICATE", (p) => (p.limits[1].id = "each-key")],
    ["an organisation twice", "organisations[1].id ID_DUPLICATE", (p) => (p.organisations[1].id = "acme")],
    [
      "a team twice",
      "organisations[0].teams[1].id ID_DUPLICATE",
      (p) => p.organisations[0].teams.push({ id: "web", apps: [] }),
    ],
    [
      "an app twice",
      "organisations[0].teams[0].apps[1].id ID_DUPLICATE",
      (p) => p.organisations[0].teams[0].apps.push({ id: "search", environments: ["x"] }),
    ],
    [
      "an app without an environment",
      "organisations[1].teams[0].apps[0].environments REPEATED_MIN_ITEMS",
      (p) => (p.organisations[1].teams[0].apps[0].environments = []),
    ],
    ["a dialect that is not said", "providers[0].dialect ENUM_NOT_IN", (p) => delete p.providers[0].dialect],
    [
      "a provider of an unknown region",
      "providers[1].regions[0] REGION_UNKNOWN",
      (p) => (p.providers[1].regions = ["asia"]),
    ],
    ["a provider without residency", "providers[1].regions REPEATED_MIN_ITEMS", (p) => (p.providers[1].regions = [])],
    [
      "a provider in plain text",
      "providers[0].base_url URL_SCHEME",
      (p) => (p.providers[0].baseUrl = "http://api.example.com"),
    ],
    [
      "a timeout of nothing",
      "providers[0].timeouts.idle DURATION_GT_LTE",
      (p) => (p.providers[0].timeouts = { idle: "0s" }),
    ],
    [
      "a target of an unknown provider",
      "targets[0].provider PROVIDER_UNKNOWN",
      (p) => (p.targets[0].provider = "nobody"),
    ],
    ["a target without prices", "targets[0].prices REQUIRED", (p) => delete p.targets[0].prices],
    [
      "a price that is no number",
      "targets[0].prices.input STRING_PATTERN",
      (p) => (p.targets[0].prices.input = "2,50"),
    ],
    ["a price with an exponent", "targets[0].prices.input STRING_PATTERN", (p) => (p.targets[0].prices.input = "1e3")],
    [
      "a price with ten places",
      "targets[0].prices.output STRING_PATTERN",
      (p) => (p.targets[0].prices.output = "0.0000000001"),
    ],
    [
      "a price with leading zeros",
      "targets[0].prices.input PRICE_MALFORMED",
      (p) => (p.targets[0].prices.input = "007"),
    ],
    ["a missing price", "targets[0].prices.output STRING_PATTERN", (p) => delete p.targets[0].prices.output],
    [
      "a route to an unknown target",
      "models[0].routes[0].target TARGET_UNKNOWN",
      (p) => (p.models[0].routes[0].target = "x"),
    ],
    [
      "a route twice",
      "models[0].routes[1].target ROUTE_DUPLICATE",
      (p) => p.models[0].routes.push({ target: "global/large" }),
    ],
    ["a model without routes", "models[0].routes REPEATED_MIN_ITEMS", (p) => (p.models[0].routes = [])],
    ["a negative weight", "models[0].routes[0].weight INT32_GTE_LTE", (p) => (p.models[0].routes[0].weight = -1)],
    ["a limit for nobody in particular", "limits[0].per ENUM_NOT_IN", (p) => delete p.limits[0].per],
    ["a limit of nothing", "limits[0].requests_per_minute INT32_GTE_LTE", (p) => (p.limits[0].requestsPerMinute = 0)],
    [
      "a limit for an unknown organisation",
      "limits[1].tenants.organisation TENANT_UNKNOWN",
      (p) => (p.limits[1].tenants.organisation = "nobody"),
    ],
    [
      "a limit for a team of another organisation",
      "limits[1].tenants.team TENANT_UNKNOWN",
      (p) => (p.limits[1].tenants.team = "ops"),
    ],
    ["a limit for an unknown app", "limits[1].tenants.app TENANT_UNKNOWN", (p) => (p.limits[1].tenants.app = "desk")],
    [
      "a limit for an unknown environment",
      "limits[1].tenants.environment TENANT_UNKNOWN",
      (p) => (p.limits[1].tenants.environment = "stage"),
    ],
    ["a NUL in a name", "regions[0].display_name TEXT_CONTROL", (p) => (p.regions[0].displayName = "a\0b")],
    [
      "a name that turns the direction of text",
      "models[0].display_name TEXT_CONTROL",
      (p) => (p.models[0].displayName = "safe\u202Eedoc"),
    ],
    [
      "a fallback that may serve none of the regions that it is a fallback for",
      "models[1].routes[1].target FALLBACK_LEAVES_REGION",
      (p) => (p.providers[0].regions = ["us"]),
    ],
    [
      "a model that no region can serve",
      "models[0].routes MODEL_UNREACHABLE",
      (p) => (p.providers[0].regions = ["asia"]),
    ],
  ])("refuses %s", (_, expected, change) => {
    expect(find(change)).toContain(expected);
    expect(checkPolicy(samplePolicy(change as (json: Json) => void))[0]?.severity).toBe(Severity.ERROR);
  });

  it.each<[string, string, (json: Broken) => void]>([
    [
      "waves that are not used",
      "rollout.waves WAVES_UNUSED",
      (p) => (p.rollout = { allAtOnce: true, waves: [{ regions: ["eu"] }] }),
    ],
    [
      "gates that judge nothing",
      "rollout.gates GATES_UNUSED",
      (p) => (p.rollout = { allAtOnce: true, gates: { failurePercent: 1 } }),
    ],
    [
      "a wave whose routers an earlier one has",
      "rollout.waves[1].regions[0] WAVE_EMPTY",
      (p) => (p.rollout = { waves: [{ regions: ["eu"] }, { regions: ["eu"], routers: 1 }] }),
    ],
    ["a model that a region lacks", "models[0].routes MODEL_ABSENT", (p) => (p.providers[0].regions = ["eu"])],
    [
      "a region in which a model lacks the fallback that it has elsewhere",
      "models[1].routes FALLBACK_ABSENT",
      (p) => (p.models[1].routes = [{ target: "global/large" }, { target: "local/small", priority: 1 }]),
    ],
    [
      "a price of nothing at a provider elsewhere",
      "targets[0].prices PRICE_ZERO",
      (p) => (p.targets[0].prices = { input: "0", output: "0.00" }),
    ],
    [
      "a limit that a tighter one for the same tenants makes idle",
      "limits[2] LIMIT_SHADOWED",
      (p) => p.limits.push({ ...p.limits[1], id: "search", per: "LIMIT_PER_APP", requestsPerMinute: 60 }),
    ],
    [
      "a limit that says what an earlier one says, and not of the earlier one",
      "limits[2] LIMIT_SHADOWED",
      (p) => p.limits.push({ ...p.limits[1], id: "again" }),
    ],
    ["a region without models", "regions[1] REGION_EMPTY", (p) => (p.providers[0].regions = ["eu"])],
    [
      "a provider without targets",
      "providers[2] PROVIDER_UNUSED",
      (p) => p.providers.push({ ...p.providers[1], id: "idle" }),
    ],
    [
      "a target that no model leads to",
      "targets[2] TARGET_UNUSED",
      (p) => p.targets.push({ ...p.targets[0], id: "idle" }),
    ],
    [
      "a credential that goes to two hosts",
      "providers[2].credential CREDENTIAL_SHARED",
      (p) => p.providers.push({ ...p.providers[0], id: "copy", baseUrl: "https://api.example.org/v1" }),
    ],
    [
      "a timeout that never runs out",
      "timeouts.first_token TIMEOUT_UNREACHABLE",
      (p) => (p.timeouts = { firstToken: "20s", total: "10s" }),
    ],
  ])("warns of %s", (_, expected, change) => {
    const findings = checkPolicy(samplePolicy(change as (json: Json) => void));

    expect(findings.map(({ field, rule }) => `${field} ${rule}`)).toContain(expected);
    expect(findings.every(({ severity }) => severity === Severity.WARNING)).toBe(true);
  });

  it("says all that is wrong at once, errors first, then by field in the order of its numbers", () => {
    const findings = find((p) => {
      p.organisation = "nobody";
      p.providers[0].baseUrl = "http://me:pw@169.254.169.254/?a#b";
      p.models = Array.from({ length: 12 }, (_, index) => ({ id: `m${index}`, routes: [{ target: "x" }] }));
    });

    expect(findings.slice(0, 12).map((line) => line.split(" ")[0])).toEqual(
      Array.from({ length: 12 }, (_, index) => `models[${index}].routes[0].target`),
    );
    expect(findings.slice(12)).toEqual([
      "organisation ORGANISATION_UNKNOWN",
      "providers[0].base_url URL_ADDRESS",
      "providers[0].base_url URL_QUERY",
      "providers[0].base_url URL_SCHEME",
      "providers[0].base_url URL_USER_INFO",
      "regions[0] REGION_EMPTY",
      "regions[1] REGION_EMPTY",
      "targets[0] TARGET_UNUSED",
      "targets[1] TARGET_UNUSED",
    ]);
  });

  it("lists no more findings than anyone can read, and says how many it left out", () => {
    const findings = checkPolicy(
      samplePolicy((json) => {
        json.models = Array.from({ length: 1_500 }, (_, index) => ({ id: `m${index}`, routes: [{ target: "x" }] }));
      }),
    );

    expect(findings).toHaveLength(1_001);
    expect(findings.at(-1)).toMatchObject({ rule: "FINDINGS_CUT", severity: Severity.ERROR });
    expect(findings.at(-1)?.message).toMatch(/^50[0-9] more/);
  });

  it("finds fault with an empty policy instead of failing", () => {
    expect(checkPolicy(create(PolicySchema)).map(({ field }) => field)).toEqual(
      expect.arrayContaining(["organisation", "regions", "organisations"]),
    );
  });

  it("lets a credential be named twice for one host", () => {
    const findings = find((p) => {
      p.providers[0].regions = ["us"];
      p.providers.push({ ...p.providers[0], id: "global-eu", baseUrl: "https://api.example.com/v2", regions: ["eu"] });
      p.targets.push({ ...p.targets[0], id: "eu/large", provider: "global-eu" });
      p.models[0].routes.push({ target: "eu/large" });
      p.models[1].routes[1].priority = 0;
    });

    expect(findings).toEqual([]);
  });

  it.each<[string, (json: Broken) => void]>([
    ["a tighter limit for fewer tenants", (p) => (p.limits[1].requestsPerMinute = 1)],
    ["a tighter limit for each key beside one for the team", (p) => (p.limits[0].requestsPerMinute = 1)],
    ["a fallback of the same region", (p) => (p.models[1].routes[0].weight = 1)],
    ["a chain in which one region is served by the fallback alone", (p) => (p.models[1].routes[1].priority = 7)],
    ["a model of this machine that is free", (p) => (p.targets[1].prices = { input: "0", output: "0" })],
  ])("says nothing of %s", (_, change) => {
    expect(find(change)).toEqual([]);
  });

  it("takes a condition of several lines", () => {
    const findings = find((p) => (p.rules = [{ id: "r", when: "call.has_tools &&\n\tcall.streamed\n", deny: {} }]));

    expect(findings.filter((finding) => finding.startsWith("rules[0].when"))).toEqual([]);
  });

  it("refuses a field that this version does not know", () => {
    const policy = samplePolicy();
    policy.limits[0]!.$unknown = [{ no: 99, wireType: 0, data: new Uint8Array([1]) }];

    expect(checkPolicy(policy)).toMatchObject([{ field: "limits[0]", rule: "FIELD_UNKNOWN" }]);
  });
});
