import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";

/** The ids that a fact can have, for a fact whose ids the policy lists. */
export interface World {
  /** What they are ids of, such as "team". */
  readonly kind: string;
  readonly ids: ReadonlySet<string>;
}

/** By name of the fact. */
export type Worlds = ReadonlyMap<string, World>;

/** The facts of conditions that can only be what stands in the policy, or what calls can be. */
export function listWorlds({ regions, models, organisations }: Policy): Worlds {
  const teams = organisations.flatMap((organisation) => organisation.teams);
  const apps = teams.flatMap((team) => team.apps);
  const toIds = (items: readonly { readonly id: string }[]): Set<string> => new Set(items.map(({ id }) => id));
  return new Map<string, World>([
    ["region", { kind: "region", ids: toIds(regions) }],
    ["call.model", { kind: "model", ids: toIds(models) }],
    ["call.operation", { kind: "operation", ids: new Set(["chat", "embedding"]) }],
    ["caller.organisation", { kind: "organisation", ids: toIds(organisations) }],
    ["caller.team", { kind: "team", ids: toIds(teams) }],
    ["caller.app", { kind: "app", ids: toIds(apps) }],
    ["caller.environment", { kind: "environment", ids: new Set(apps.flatMap(({ environments }) => environments)) }],
  ]);
}
