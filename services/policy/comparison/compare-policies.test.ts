import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PolicySchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ChangeKind } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { KeyGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { samplePolicy, samplePolicyJson } from "../compilation/policy.fixture.ts";
import { comparePolicies } from "./compare-policies.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests change the sample in ways that its type does not have.
type Json = any;

const NOW_MS = 1_764_000_000_000;

/** A living key of acme/web/search for these models. */
function grant(models: readonly string[], rest: object = {}) {
  const tenant = { organisation: "acme", team: "web", app: "search", environment: "production" };
  return create(KeyGrantSchema, { keyId: "aaaaaaaaaaaa", ...tenant, models: [...models], ...rest });
}

function compare(change: (json: Json) => void, grants: ReturnType<typeof grant>[] = []) {
  const comparison = comparePolicies(samplePolicy(), samplePolicy(change as (json: object) => void), NOW_MS);
  for (const each of grants) comparison.takeKey(each);
  return comparison.list();
}

function say(change: (json: Json) => void, grants: ReturnType<typeof grant>[] = []): string[] {
  return compare(change, grants).map(({ message }) => message);
}

describe("comparePolicies()", () => {
  it("finds nothing to say of a policy and itself, also in another order", () => {
    expect(compare(() => {})).toEqual([]);
    expect(
      compare((p) => {
        for (const list of [p.regions, p.providers, p.targets, p.models, p.organisations, p.limits]) list.reverse();
      }),
    ).toEqual([]);
  });

  it("says of a first policy that everything is new", () => {
    const changes = comparePolicies(create(PolicySchema), samplePolicy(), NOW_MS).list();

    expect(changes.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        "organisation not set → acme",
        'region "eu" is new',
        'limit "web" is new: 60 calls a minute for each team of team "web" of organisation "acme"',
        'model "large" can be asked for in eu, us',
        'model "any" can be asked for in eu, us',
      ]),
    );
  });

  it("tells of a price with the models and regions that it is for, and not of another spelling", () => {
    const messages = say((p) => {
      p.targets[0].prices = { input: "2.500", output: "12", cachedInput: "0.25" };
    });

    expect(messages).toEqual([
      'target "global/large": output price 10 → 12 dollars per million tokens, used by models "any", "large" in eu, us',
      'target "global/large": cached input price not set → 0.25 dollars per million tokens, used by models "any", "large" in eu, us',
    ]);
  });

  it("tells of a provider that may no longer serve a region, of what that takes away, and from whom", () => {
    const messages = say(
      (p) => {
        p.providers[0].regions = ["eu"];
      },
      [
        grant(["large"]),
        grant(["*"], { environment: "test" }),
        grant(["large"], { organisation: "other", team: "ops", app: "desk", environment: "test" }),
        grant(["large"], { revokedAt: { seconds: 1n } }),
        grant(["large"], { expiresAt: { seconds: BigInt(NOW_MS / 1000) } }),
      ],
    );

    expect(messages).toEqual([
      'provider "global" may no longer serve us: models "any", "large" have no target there any more',
      'model "any" can\'t be asked for in us any more',
      'model "large" can\'t be asked for in us any more',
      'environment "production" of app "search" of team "web" (acme): loses model "large" in us (1 key)',
      'environment "test" of app "search" of team "web" (acme): loses models "any", "large" in us (1 key)',
      'app "desk" of team "ops" (other): loses model "large" in us (1 key)',
    ]);
  });

  it("names the app when all of its environments are concerned alike", () => {
    const messages = say(
      (p) => p.models.pop(),
      [grant(["any"]), grant(["any", "large"]), grant(["any"], { environment: "test" })],
    );

    expect(messages).toEqual([
      'model "any" goes',
      'model "any" can\'t be asked for in eu, us any more',
      'app "search" of team "web" (acme): loses model "any" in eu, us (3 keys)',
    ]);
  });

  it("tells of models gained, by keys that may ask for all", () => {
    const messages = say((p) => p.models.push({ id: "new", routes: [{ target: "local/small" }] }), [grant(["*"])]);

    expect(messages).toEqual([
      'model "new" is new',
      'model "new" can be asked for in eu',
      'app "search" of team "web" (acme): gains model "new" in eu (1 key)',
    ]);
  });

  it("tells only of the regions that honour a key", () => {
    const messages = say(
      (p) => p.models.pop(),
      [grant(["any"], { regions: ["us"] }), grant(["*"], { regions: ["eu"] })],
    );

    expect(messages.slice(2)).toEqual([
      'app "search" of team "web" (acme): loses model "any" in eu (1 key)',
      'app "search" of team "web" (acme): loses model "any" in us (1 key)',
    ]);
  });

  it("tells of rules as sentences, with how many keys they are for, and of their order", () => {
    const deny = { id: "tools", when: "call.has_tools &&\n  call.streamed", deny: { message: "No tools" } };
    const cap = { id: "cap", capOutputTokens: "4096", tenants: [{ environment: "test" }, { team: "web" }] };
    const effects = [
      { id: "a", modelsOnly: { ids: ["large"] }, models: ["any"] },
      { id: "b", targetsOnly: { providers: ["local"] } },
      { id: "c", residency: { regions: ["eu"] } },
      { id: "d", priorityClass: "PRIORITY_CLASS_CRITICAL" },
      { id: "e", timeouts: { idle: "5s" } },
    ];
    const first = samplePolicy((p: Json) => (p.rules = [deny, cap, { id: "old", deny: {} }]));
    const second = samplePolicy((p: Json) => {
      p.rules = [cap, { id: deny.id, when: "call.has_tools", allow: {} }, ...effects];
    });
    const comparison = comparePolicies(first, second, NOW_MS);
    comparison.takeKey(grant([]));

    expect(comparison.list().map(({ message }) => message)).toEqual([
      'rule "old" goes: denies calls of all tenants (held for 1 key)',
      'rule "tools": denies, saying "No tools", calls of all tenants when call.has_tools && call.streamed → shields from later denials calls of all tenants when call.has_tools (1 key now)',
      'rule "a" is new: opens models "large" only to calls of all tenants for models "any" (1 key now)',
      'rule "b" is new: lets providers "local" only serve calls of all tenants (1 key now)',
      'rule "c" is new: keeps in eu calls of all tenants (1 key now)',
      'rule "d" is new: gives PRIORITY_CLASS_CRITICAL to calls of all tenants (1 key now)',
      'rule "e" is new: gives timeouts {"idle":"5s"} to calls of all tenants (1 key now)',
      "rules stand in another order: tools, cap → cap, tools",
    ]);
    const gone = comparePolicies(first, samplePolicy(), NOW_MS).list();
    expect(gone.map(({ message }) => message)).toContain(
      'rule "cap" goes: caps at 4096 tokens answers to calls of environment "test" and team "web"',
    );
  });

  it("tells of routes region by region: opened, closed, and in another place", () => {
    const messages = say((p) => {
      p.models[0].routes = [{ target: "local/small" }, { target: "global/large", priority: 1 }];
      p.models[1].routes = [{ target: "global/large", priority: 1, weight: 2 }];
    });

    // In us each model has one target, whatever its numbers are.
    expect(messages).toEqual([
      'model "any" in eu: target "local/small" no longer serves it, which was first choice',
      'model "any" in eu: target "global/large" fallback 1 → first choice',
      'model "large" in eu: target "global/large" first choice → fallback 1',
      'model "large" in eu: target "local/small" may serve it, first choice',
    ]);
  });

  it("tells of another share of the calls", () => {
    const messages = say((p) => {
      p.models[1].routes = [{ target: "local/small", weight: 3 }, { target: "global/large" }];
    });

    expect(messages).toEqual([
      'model "any" in eu: target "local/small" first choice → first choice for 3 of 4 calls',
      'model "any" in eu: target "global/large" fallback 1 → first choice for 1 of 4 calls',
    ]);
  });

  it("tells of limits as sentences, with how many keys they are for", () => {
    const messages = say(
      (p) => {
        p.limits = [
          { id: "each-key", per: "LIMIT_PER_APP", requestsPerMinute: 60 },
          { id: "tests", per: "LIMIT_PER_KEY", requestsPerMinute: 5, tenants: { environment: "test" } },
        ];
      },
      [grant([]), grant([], { environment: "test" })],
    );

    expect(messages).toEqual([
      'limit "web" goes: 60 calls a minute for each team of team "web" of organisation "acme" (held for 2 keys)',
      'limit "each-key": 600 calls a minute for each key of all tenants → 60 calls a minute for each app of all tenants (2 keys now)',
      'limit "tests" is new: 5 calls a minute for each key of environment "test" (1 key now)',
    ]);
  });

  it("warns of tenants that go and leave keys behind which are honoured", () => {
    const messages = say(
      (p) => {
        p.organisations[0].teams[0].apps[0].environments = ["production", "stage"];
        p.organisations.pop();
      },
      [
        grant([], { environment: "test" }),
        grant([], { organisation: "other", team: "ops", app: "desk", environment: "test" }),
        grant([], { organisation: "other", team: "ops", app: "desk", environment: "test" }),
      ],
    );

    expect(messages).toEqual([
      'organisation "other" goes',
      'environment "test" of app "search" of team "web" (acme) goes',
      'environment "stage" of app "search" of team "web" (acme) is new',
      'environment "test" of app "search" of team "web" (acme) goes, yet its 1 key is honoured until revoked',
      'organisation "other" goes, yet its 2 keys are honoured until revoked',
    ]);
  });

  it("tells of any other field, by its name, before and after", () => {
    const changes = compare((p) => {
      p.providers[0].baseUrl = "https://api.example.org";
      p.targets[1].maxOutputTokens = "4096";
      p.timeouts = { idle: "5s" };
      p.models[0].displayName = "Large";
    });

    expect(changes.map(({ message, field }) => `${field} ${message}`)).toEqual([
      'providers[0].base_url provider "global": base_url https://api.example.com/v1/ → https://api.example.org',
      'targets[1].max_output_tokens target "local/small": max_output_tokens not set → 4096',
      'models[0].display_name model "large": display_name not set → Large',
      "timeouts.idle timeouts.idle not set → 5s",
    ]);
  });

  it("has words and facts for each change of any two policies, and none for what is the same", () => {
    const base = samplePolicyJson();
    const variant = fc.record({
      regions: fc.constantFrom(["eu"], ["us"], ["eu", "us"]),
      input: fc.constantFrom("1", "2.50", "2.5"),
      models: fc.subarray(base.models, { minLength: 1 }),
      limits: fc.subarray(base.limits),
      environments: fc.subarray(["production", "test", "stage"], { minLength: 1 }),
    });
    const make = (v: typeof variant extends fc.Arbitrary<infer T> ? T : never) =>
      samplePolicy((p: Json) => {
        p.providers[0].regions = v.regions;
        p.targets[0].prices.input = v.input;
        p.models = v.models;
        p.limits = v.limits;
        p.organisations[0].teams[0].apps[0].environments = v.environments;
      });
    fc.assert(
      fc.property(variant, variant, (before, after) => {
        const forth = comparePolicies(make(before), make(after), NOW_MS).list();
        const back = comparePolicies(make(after), make(before), NOW_MS).list();

        expect(comparePolicies(make(after), make(after), NOW_MS).list()).toEqual([]);
        for (const { message, kind } of forth) {
          expect(message).not.toBe("");
          expect(message).not.toMatch(/undefined|\[object/);
          expect(kind).not.toBe(ChangeKind.UNSPECIFIED);
        }
        // What comes one way goes the other way.
        const count = (list: typeof forth, kind: ChangeKind) => list.filter((change) => change.kind === kind).length;
        for (const [come, go] of [
          [ChangeKind.ADDED, ChangeKind.REMOVED],
          [ChangeKind.MODEL_OFFERED, ChangeKind.MODEL_WITHDRAWN],
          [ChangeKind.ROUTE_OPENED, ChangeKind.ROUTE_CLOSED],
        ] as const) {
          expect(count(forth, come)).toBe(count(back, go));
        }
      }),
      { numRuns: 200 },
    );
  });
});
