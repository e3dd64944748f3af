import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ChangeKind, type PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { createChange } from "./change.ts";
import type { KeyGroup } from "./key-tally.ts";
import { listRegions, type OfferPair } from "./offers.ts";

/**
 * What living keys of tenants may ask for otherwise, and tenants that go while they have living keys. When all of an app's environments that
 * have keys are concerned alike, the app is named.
 */
export function compareTenants(
  before: Policy,
  after: Policy,
  offers: OfferPair,
  groups: readonly KeyGroup[],
): PolicyChange[] {
  const lost = listDifference(offers.before, offers.after, listRegions(offers));
  const gained = listDifference(offers.after, offers.before, listRegions(offers));
  return [
    ...tellEffects(ChangeKind.TENANT_LOSES, lost, groups),
    ...tellEffects(ChangeKind.TENANT_GAINS, gained, groups),
    ...tellKeysLeft(before, after, groups),
  ];
}

/** The models that a key could tell a difference by: offered in some region on one side alone. */
export function listChangedModels(offers: OfferPair): Set<string> {
  const regions = listRegions(offers);
  const differences = [
    ...listDifference(offers.before, offers.after, regions),
    ...listDifference(offers.after, offers.before, regions),
  ];
  return new Set(differences.flatMap(({ models }) => [...models]));
}

/** Models that regions offer in `from` and not in `to`; regions with the same ones together. */
interface Difference {
  readonly regions: readonly string[];
  readonly models: ReadonlySet<string>;
}

function listDifference(from: OfferPair["before"], to: OfferPair["after"], regions: readonly string[]): Difference[] {
  // By model, and then together: a model that goes in all regions is one thing for its callers.
  const byModel = new Map<string, string[]>();
  for (const region of regions) {
    for (const model of from.get(region)?.keys() ?? []) {
      if (to.get(region)?.has(model)) continue;
      byModel.set(model, [...(byModel.get(model) ?? []), region]);
    }
  }
  const byRegions = Map.groupBy(byModel, ([, where]) => where.join(" "));
  return [...byRegions.values()].map((together) => ({
    regions: together[0]?.[1] ?? [],
    models: new Set(together.map(([model]) => model)),
  }));
}

function tellEffects(
  kind: ChangeKind,
  differences: readonly Difference[],
  groups: readonly KeyGroup[],
): PolicyChange[] {
  const byApp = Map.groupBy(groups, ({ tenant }) => tenant.slice(0, 3).join("/"));
  return [...byApp].flatMap(([app, ofApp]) =>
    differences.flatMap(({ regions, models }) => {
      const concerned = ofApp.flatMap((group) => {
        const own = group.models.filter((model) => models.has(model));
        const where = regions.filter((region) => group.regions.length === 0 || group.regions.includes(region));
        if (own.length === 0 || where.length === 0) return [];
        return [{ environment: group.tenant[3], models: own, regions: where, keys: group.keys }];
      });
      const environments = new Set(ofApp.map(({ tenant }) => tenant[3]));
      const byEffect = Map.groupBy(concerned, (each) => JSON.stringify([each.models, each.regions]));
      return [...byEffect.values()].flatMap((alike) => {
        const common = { kind, regions: alike[0]?.regions ?? [], models: alike[0]?.models ?? [] };
        const isWholeApp = new Set(alike.map(({ environment }) => environment)).size === environments.size;
        if (isWholeApp) {
          const keys = alike.reduce((sum, each) => sum + each.keys, 0n);
          return [createChange({ ...common, thing: "app", id: app, keys })];
        }
        return [...Map.groupBy(alike, ({ environment }) => environment)].map(([environment, ofIt]) => {
          const keys = ofIt.reduce((sum, each) => sum + each.keys, 0n);
          return createChange({ ...common, thing: "environment", id: `${app}/${environment}`, keys });
        });
      });
    }),
  );
}

const LEVELS = ["organisation", "team", "app", "environment"] as const;

function tellKeysLeft(before: Policy, after: Policy, groups: readonly KeyGroup[]): PolicyChange[] {
  const [old, now] = [listTenants(before), listTenants(after)];
  const left = new Map<string, { thing: string; keys: bigint }>();
  for (const { tenant, keys } of groups) {
    const paths = LEVELS.map((_, level) => tenant.slice(0, level + 1).join("/"));
    // The largest part that goes says it for all below.
    const level = paths.findIndex((path) => old.has(path) && !now.has(path));
    if (level === -1) continue;
    const path = paths[level] as string;
    left.set(path, { thing: LEVELS[level] as string, keys: (left.get(path)?.keys ?? 0n) + keys });
  }
  return [...left].map(([id, { thing, keys }]) => createChange({ kind: ChangeKind.KEYS_LEFT, thing, id, keys }));
}

function listTenants(policy: Policy): Set<string> {
  const paths = new Set<string>();
  for (const organisation of policy.organisations) {
    paths.add(organisation.id);
    for (const team of organisation.teams) {
      paths.add(`${organisation.id}/${team.id}`);
      for (const app of team.apps) {
        paths.add(`${organisation.id}/${team.id}/${app.id}`);
        for (const name of app.environments) paths.add(`${organisation.id}/${team.id}/${app.id}/${name}`);
      }
    }
  }
  return paths;
}
