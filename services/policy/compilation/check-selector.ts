import type { Policy, TenantSelector } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Report } from "./finding.ts";

/** Reports a selector that fits nobody, which is a limit or a rule that is not there, at the field that leaves nobody over. */
export function checkSelector(policy: Policy, selector: TenantSelector, path: string, error: Report): void {
  const fits = (wanted: string, id: string): boolean => wanted === "" || wanted === id;
  const report = (field: string, id: string): void => {
    error(`${path}.${field}`, "TENANT_UNKNOWN", `There is no ${field} "${id}" there; it would hold for nobody`);
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
