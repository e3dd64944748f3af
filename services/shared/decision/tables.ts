import type { Limit, Model } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant, Snapshot, SnapshotProvider, SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import { createDrawSeed, type DrawSeed } from "./draw.ts";
import { countsGrant } from "./limits.ts";
import { type GrantRules, planRules } from "./rule-tables.ts";

/** Most routes of a model, as in weir.policy.v1.Model. */
export const ROUTE_LIMIT = 64;

/** A route with all that its target needs, looked up once. */
export interface IndexedRoute {
  readonly target: SnapshotTarget;
  readonly provider: SnapshotProvider;
  readonly priority: number;
  /** From 1. */
  readonly weight: number;
  readonly seed: DrawSeed;
}

/** A model with its routes: by priority, then by target id. */
export interface IndexedModel {
  readonly model: Model;
  readonly routes: readonly IndexedRoute[];
}

/** What follows from a grant under a snapshot, found once for each grant that asks. */
export interface GrantFacts {
  /** The limits that count its calls, by id. */
  readonly limits: readonly Limit[];
  /** Ids of the models that it may ask for; absent means all. */
  readonly models: ReadonlySet<string> | undefined;
  /** The rules that can match its calls; absent when none can. */
  readonly rules: GrantRules | undefined;
}

/** A snapshot in the form in which decisions are quick. Made once for each snapshot by {@link indexSnapshot}; never changes. */
export interface DecisionTables {
  readonly snapshot: Snapshot;
  readonly models: ReadonlyMap<string, IndexedModel>;
  /** What follows from a grant. The same grant object is looked into once only, so keep grants decoded. */
  getGrantFacts(grant: KeyGrant): GrantFacts;
  /** Whether the snapshot has rules at all: then the record of a call says what it was asked with. */
  readonly hasRules: boolean;
}

/**
 * Indexes a snapshot. Throws SNAPSHOT_REFUSED when it is not complete in itself (an id twice, a route or target that leads
 * nowhere), so that no decision under it can find a hole.
 */
export function indexSnapshot(snapshot: Snapshot): DecisionTables {
  const providers = indexById("provider", snapshot.providers);
  const targets = indexById("target", snapshot.targets);
  const seeds = new Map(snapshot.targets.map(({ id }) => [id, createDrawSeed(id)]));
  for (const target of snapshot.targets) {
    if (!providers.has(target.provider)) throw refuse(`target "${target.id}" has no provider "${target.provider}"`);
  }
  indexById("limit", snapshot.limits);
  const models = new Map<string, IndexedModel>();
  for (const [id, model] of indexById("model", snapshot.models)) {
    const routes = model.routes.map((route): IndexedRoute => {
      const target = targets.get(route.target);
      if (target === undefined) throw refuse(`model "${id}" leads to the missing target "${route.target}"`);
      const provider = providers.get(target.provider) as SnapshotProvider;
      const seed = seeds.get(target.id) as DrawSeed;
      return { target, provider, priority: route.priority, weight: Math.max(1, route.weight), seed };
    });
    if (routes.length > ROUTE_LIMIT)
      throw refuse(`model "${id}" has ${routes.length} routes, more than ${ROUTE_LIMIT}`);
    if (routes.length === 0) throw refuse(`model "${id}" leads nowhere`);
    models.set(id, { model, routes: routes.sort(compareRoutes) });
  }
  indexById("rule", snapshot.rules);
  return { snapshot, models, getGrantFacts: createGrantFacts(snapshot), hasRules: snapshot.rules.length > 0 };
}

function createGrantFacts(snapshot: Snapshot): (grant: KeyGrant) => GrantFacts {
  const { limits } = snapshot;
  const findRules = planRules(snapshot);
  // Weak, so that the facts go when the keyring that held the grant goes.
  const known = new WeakMap<KeyGrant, GrantFacts>();
  return (grant) => {
    let facts = known.get(grant);
    if (facts === undefined) {
      facts = {
        limits: limits.filter((limit) => countsGrant(limit, grant)),
        models: grant.models.includes("*") ? undefined : new Set(grant.models),
        rules: findRules?.(grant),
      };
      known.set(grant, facts);
    }
    return facts;
  };
}

function indexById<T extends { readonly id: string }>(what: string, items: readonly T[]): Map<string, T> {
  const index = new Map<string, T>();
  for (const item of items) {
    if (index.has(item.id)) throw refuse(`${what} "${item.id}" is there twice`);
    index.set(item.id, item);
  }
  return index;
}

function compareRoutes(a: IndexedRoute, b: IndexedRoute): number {
  return a.priority - b.priority || (a.target.id < b.target.id ? -1 : 1);
}

function refuse(state: string): WeirError {
  return new WeirError("SNAPSHOT_REFUSED", `Cannot index snapshot: ${state}`, { facts: { stage: "REFERENCES" } });
}
