import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { checkSelector } from "./check-selector.ts";
import type { Report } from "./finding.ts";

/** Reports every name that leads to nothing: regions, providers, targets, tenants. */
export function checkReferences(policy: Policy, error: Report): void {
  const regions = new Set(policy.regions.map(({ id }) => id));
  const providers = new Set(policy.providers.map(({ id }) => id));
  const targets = new Set(policy.targets.map(({ id }) => id));
  const unknown = (field: string, kind: string, id: string): void => {
    error(field, `${kind.toUpperCase()}_UNKNOWN`, `There is no ${kind} "${id}" in this policy`);
  };

  if (!policy.organisations.some(({ id }) => id === policy.organisation)) {
    unknown("organisation", "organisation", policy.organisation);
  }
  policy.providers.forEach((provider, p) => {
    provider.regions.forEach((region, r) => {
      if (!regions.has(region)) unknown(`providers[${p}].regions[${r}]`, "region", region);
    });
  });
  policy.targets.forEach(({ provider }, t) => {
    if (!providers.has(provider)) unknown(`targets[${t}].provider`, "provider", provider);
  });
  policy.models.forEach(({ routes }, m) => {
    const seen = new Set<string>();
    routes.forEach(({ target }, r) => {
      const field = `models[${m}].routes[${r}].target`;
      if (!targets.has(target)) unknown(field, "target", target);
      else if (seen.has(target)) error(field, "ROUTE_DUPLICATE", `The model has a route to "${target}" already`);
      seen.add(target);
    });
  });
  policy.limits.forEach(({ tenants }, l) => {
    if (tenants !== undefined) checkSelector(policy, tenants, `limits[${l}].tenants`, error);
  });
}
