import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Report } from "./finding.ts";

/** Reports every id that is there twice where it must be unique. */
export function checkIds(policy: Policy, error: Report): void {
  checkUnique(policy.regions, "regions", error);
  checkUnique(policy.providers, "providers", error);
  checkUnique(policy.targets, "targets", error);
  checkUnique(policy.models, "models", error);
  checkUnique(policy.limits, "limits", error);
  checkUnique(policy.rules, "rules", error);
  checkUnique(policy.organisations, "organisations", error);
  policy.organisations.forEach((organisation, o) => {
    checkUnique(organisation.teams, `organisations[${o}].teams`, error);
    organisation.teams.forEach((team, t) => {
      checkUnique(team.apps, `organisations[${o}].teams[${t}].apps`, error);
    });
  });
}

function checkUnique(items: readonly { readonly id: string }[], path: string, error: Report): void {
  const first = new Map<string, number>();
  items.forEach(({ id }, index) => {
    const other = first.get(id);
    if (other === undefined) first.set(id, index);
    else
      error(`${path}[${index}].id`, "ID_DUPLICATE", `"${id}" is also the id of ${path}[${other}]; give one another id`);
  });
}
