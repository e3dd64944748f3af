import { create } from "@bufbuild/protobuf";
import type { Policy, Rule } from "../../../gen/weir/policy/v1/policy_pb.ts";
import {
  type IdList,
  IdListSchema,
  type Snapshot,
  type SnapshotRule,
  SnapshotRuleSchema,
  SnapshotTimeoutsSchema,
} from "../../../gen/weir/policy/v1/snapshot_pb.ts";

/** What a region has, as far as rules name it. */
type Region = Pick<Snapshot, "region" | "providers" | "targets" | "models">;

/**
 * Compiles the rules for a region, in their order. What they name and the region does not have is gone; a rule that matches only for models
 * that are gone goes with them. A restriction of which nothing is left stays: then it excludes everything.
 */
export function compileRules(policy: Policy, region: Region): SnapshotRule[] {
  const models = new Set(region.models.map(({ id }) => id));
  return policy.rules.flatMap((rule) => {
    const left = rule.models.filter((id) => models.has(id));
    if (rule.models.length > 0 && left.length === 0) return [];
    const { id, tenants, when } = rule;
    return [
      create(SnapshotRuleSchema, { id, tenants, models: left, when, effect: compileEffect(rule, policy, region) }),
    ];
  });
}

function compileEffect({ effect }: Rule, policy: Policy, region: Region): SnapshotRule["effect"] {
  switch (effect.case) {
    case "deny":
      return { case: "deny", value: effect.value.message };
    case "modelsOnly":
      return { case: "modelsOnly", value: toIds(region.models, ({ id }) => effect.value.ids.includes(id)) };
    case "targetsOnly": {
      const { ids, providers } = effect.value;
      const isNamed = ({ id, provider }: Region["targets"][number]) => ids.includes(id) || providers.includes(provider);
      return { case: "targetsOnly", value: toIds(region.targets, isNamed) };
    }
    case "residency":
      return { case: "residentProviders", value: findResident(effect.value.regions, policy, region) };
    case "timeouts": {
      const { connect, firstToken, idle, total } = effect.value;
      const timeouts = {
        ...(connect !== undefined && { connect }),
        ...(firstToken !== undefined && { firstToken }),
        ...(idle !== undefined && { idle }),
        ...(total !== undefined && { total }),
      };
      return { case: "timeouts", value: create(SnapshotTimeoutsSchema, timeouts) };
    }
    default:
      return effect;
  }
}

// Who may serve other regions too keeps nothing within these.
function findResident(required: readonly string[], policy: Policy, region: Region): IdList {
  const isServed = required.includes(region.region);
  const allowed = new Map(policy.providers.map(({ id, regions }) => [id, regions]));
  return toIds(
    region.providers,
    ({ id }) => isServed && (allowed.get(id) ?? []).every((other) => required.includes(other)),
  );
}

function toIds<T extends { readonly id: string }>(items: readonly T[], isKept: (item: T) => boolean): IdList {
  return create(IdListSchema, { ids: items.filter(isKept).map(({ id }) => id) });
}
