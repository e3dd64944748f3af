import type { TenantSelector } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";

/** Keys of one environment that may ask for the same of the models in question. */
export interface KeyGroup {
  /** Ids of organisation, team, app, environment. */
  readonly tenant: readonly [string, string, string, string];
  /** Which of the models in question they may ask for. */
  readonly models: readonly string[];
  /** Ids of the regions that honour them; empty means all. */
  readonly regions: readonly string[];
  readonly keys: bigint;
}

/** Living keys, counted by tenant and by which of some models they may ask for. Holds no key and no id of one. */
export class KeyTally {
  readonly #models: ReadonlySet<string>;
  readonly #allModels: readonly string[];
  readonly #tenants = new Map<string, { tenant: KeyGroup["tenant"]; keys: bigint }>();
  readonly #groups = new Map<string, Omit<KeyGroup, "keys"> & { keys: bigint }>();

  /** `models`: those in question; others make no difference. */
  constructor(models: ReadonlySet<string>) {
    this.#models = models;
    this.#allModels = [...models].sort();
  }

  /** Counts the key of a grant, if it is good at `nowMs`. */
  take(grant: KeyGrant, nowMs: number): void {
    const { organisation, team, app, environment, regions, revokedAt, expiresAt } = grant;
    const isExpired = expiresAt !== undefined && Number(expiresAt.seconds) * 1000 <= nowMs;
    if (revokedAt !== undefined || isExpired) return;
    const tenant = [organisation, team, app, environment] as const;
    const ofTenant = this.#tenants.get(tenant.join("/")) ?? { tenant, keys: 0n };
    this.#tenants.set(tenant.join("/"), ofTenant);
    ofTenant.keys += 1n;
    const isForAll = grant.models.includes("*");
    const models = isForAll ? this.#allModels : grant.models.filter((model) => this.#models.has(model)).sort();
    // All of them need no naming: there may be thousands.
    const key = JSON.stringify([...tenant, isForAll ? "*" : models, regions]);
    const group = this.#groups.get(key);
    if (group !== undefined) group.keys += 1n;
    else this.#groups.set(key, { tenant, models, regions, keys: 1n });
  }

  /** Every group, by tenant. */
  list(): KeyGroup[] {
    return [...this.#groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
  }

  /** How many keys at least one of these selectors chooses; none choose all. */
  count(selectors: readonly TenantSelector[]): bigint {
    const wanted = selectors.map(({ organisation, team, app, environment }) => [organisation, team, app, environment]);
    return [...this.#tenants.values()]
      .filter(({ tenant }) => wanted.length === 0 || wanted.some((ids) => isChosen(ids, tenant)))
      .reduce((sum, { keys }) => sum + keys, 0n);
  }
}

function isChosen(ids: readonly string[], tenant: KeyGroup["tenant"]): boolean {
  return ids.every((id, part) => id === "" || id === tenant[part]);
}
