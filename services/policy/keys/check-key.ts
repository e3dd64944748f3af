import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { FieldViolation } from "../../shared/errors/weir-error.ts";
import type { GrantSettings, KeyTenant } from "./edit-grant.ts";

/** What is wrong with a tenant for a key of its own: the first of its parts that the policy lacks. */
export function findTenantViolations(policy: Policy, tenant: KeyTenant): FieldViolation[] {
  const organisation = policy.organisations.find(({ id }) => id === tenant.organisation);
  const team = organisation?.teams.find(({ id }) => id === tenant.team);
  const app = team?.apps.find(({ id }) => id === tenant.app);
  const violation = (field: string, description: string): FieldViolation[] => [{ field, description }];
  // The first that is not there: below it nothing can be.
  if (organisation === undefined) return violation("organisation", `"${tenant.organisation}" is not in the policy`);
  if (team === undefined) return violation("team", `"${tenant.team}" is not a team of "${tenant.organisation}"`);
  if (app === undefined) return violation("app", `"${tenant.app}" is not an app of "${tenant.team}"`);
  if (app.environments.includes(tenant.environment)) return [];
  return violation("environment", `"${tenant.environment}" is not an environment of "${tenant.app}"`);
}

/** What is wrong with settings of a key under a policy, by field. Settings that are not named are not looked at. */
export function findSettingViolations(
  policy: Policy,
  settings: Partial<GrantSettings>,
  nowMs: number,
): FieldViolation[] {
  const { models, regions = [], expiresAt } = settings;
  const violations: FieldViolation[] = [];
  const report = (field: string, description: string): void => void violations.push({ field, description });
  const knownModels = new Set(policy.models.map(({ id }) => id));
  if (models?.length === 0) report("models", "must name a model");
  models?.forEach((model, index) => {
    if (model === "*" && models.length > 1) report(`models[${index}]`, '"*" means all and stands alone');
    else if (model !== "*" && !knownModels.has(model)) report(`models[${index}]`, `"${model}" is not in the policy`);
  });
  const knownRegions = new Set(policy.regions.map(({ id }) => id));
  regions.forEach((region, index) => {
    if (!knownRegions.has(region)) report(`regions[${index}]`, `"${region}" is not in the policy`);
  });
  if (expiresAt !== undefined && !isInstant(expiresAt)) report("expires_at", "must lie before the year 10000");
  else if (expiresAt !== undefined && timestampMs(expiresAt) <= nowMs) report("expires_at", "must lie in the future");
  return violations;
}

/** Whether it is what a Timestamp may be: its binary form takes any number, and what is beyond could be neither stored nor shown. */
function isInstant({ seconds, nanos }: Timestamp): boolean {
  return seconds >= -62_135_596_800n && seconds < 253_402_300_800n && nanos >= 0 && nanos < 1_000_000_000;
}

/** What is wrong with a tenant's path under a policy. */
export function findPathViolations(policy: Policy, path: string): FieldViolation[] {
  const [organisationId, teamId, appId] = path.split("/");
  const organisation = policy.organisations.find(({ id }) => id === organisationId);
  const team = organisation?.teams.find(({ id }) => id === teamId);
  const isThere =
    organisation !== undefined &&
    (teamId === undefined || team !== undefined) &&
    (appId === undefined || (team?.apps.some(({ id }) => id === appId) ?? false));
  return isThere ? [] : [{ field: "tenant", description: `"${path}" is not in the policy` }];
}
