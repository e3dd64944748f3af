import type { Policy, TenantSelector } from "../../../gen/weir/policy/v1/policy_pb.ts";
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

// A selector that fits nobody is a limit that is not there. The field reported is the one that leaves nobody over.
function checkSelector(policy: Policy, selector: TenantSelector, path: string, error: Report): void {
  const fits = (wanted: string, id: string): boolean => wanted === "" || wanted === id;
  const report = (field: string, id: string): void => {
    error(`${path}.${field}`, "TENANT_UNKNOWN", `There is no ${field} "${id}" there; the limit would hold for nobody`);
  };
  const { organisation, team, app, environment } = selector;
  const organisations = policy.organisations.filter(({ id }) => fits(organisation, id));
  const teams = organisations.flatMap((each) => each.teams).filter(({ id }) => fits(team, id));
  const apps = teams.flatMap((each) => each.apps).filter(({ id }) => fits(app, id));
  if (organisations.length === 0) report("organisation", organisation);
  else if (team !== "" && teams.length === 0) report("team", team);
  else if (app !== "" && apps.length === 0) report("app", app);
  else if (environment !== "" && !apps.some(({ environments }) => environments.includes(environment))) {
    report("environment", environment);
  }
}
