import type { TenantSelector } from "../../../gen/weir/policy/v1/policy_pb.ts";

/** Whom selectors choose, in words: 'team "web" of organisation "acme"'. None choose all. */
export function describeSelectors(selectors: readonly TenantSelector[]): string {
  return selectors.length === 0 ? "all tenants" : selectors.map(describeSelector).join(" and ");
}

function describeSelector({ organisation, team, app, environment }: TenantSelector): string {
  const parts = Object.entries({ environment, app, team, organisation }).filter(([, id]) => id !== "");
  return parts.length === 0 ? "all tenants" : parts.map(([what, id]) => `${what} "${id}"`).join(" of ");
}
