import { equals } from "@bufbuild/protobuf";
import {
  type Limit,
  LimitPer,
  LimitSchema,
  type Policy,
  type TenantSelector,
} from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ChangeKind, type PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { createChange } from "./change.ts";
import { describeSelectors } from "./describe-selector.ts";
import type { KeyTally } from "./key-tally.ts";

/** Which limits are new, gone or others, each as a sentence of how much and for whom, with the living keys that it concerns. */
export function compareLimits(before: Policy, after: Policy, keys: KeyTally): PolicyChange[] {
  const old = new Map(before.limits.map((limit) => [limit.id, limit]));
  const now = new Set(after.limits.map(({ id }) => id));
  const gone = before.limits.flatMap((limit, index) =>
    now.has(limit.id)
      ? []
      : createChange({
          ...nameLimit(limit, index),
          kind: ChangeKind.REMOVED,
          before: describeLimit(limit),
          keys: keys.count(toList(limit.tenants)),
        }),
  );
  const others = after.limits.flatMap((limit, index) => {
    const was = old.get(limit.id);
    if (was !== undefined && equals(LimitSchema, was, limit)) return [];
    const common = { ...nameLimit(limit, index), after: describeLimit(limit), keys: keys.count(toList(limit.tenants)) };
    if (was === undefined) return createChange({ ...common, kind: ChangeKind.ADDED });
    return createChange({ ...common, kind: ChangeKind.CHANGED, before: describeLimit(was) });
  });
  return [...gone, ...others];
}

function nameLimit({ id }: Limit, index: number) {
  return { thing: "limit", id, field: `limits[${index}]` };
}

const PER = new Map<LimitPer, string>([
  [LimitPer.KEY, "each key"],
  [LimitPer.APP, "each app"],
  [LimitPer.TEAM, "each team"],
  [LimitPer.ORGANISATION, "each organisation"],
]);

/** A limit in words: "60 calls a minute for each key of team "web" (acme)". All that it says is in them. */
function describeLimit({ requestsPerMinute, per, tenants }: Limit): string {
  return `${requestsPerMinute} calls a minute for ${PER.get(per)} of ${describeSelectors(toList(tenants))}`;
}

function toList(selector: TenantSelector | undefined): readonly TenantSelector[] {
  return selector === undefined ? [] : [selector];
}
