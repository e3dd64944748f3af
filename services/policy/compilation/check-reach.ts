import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { checkFallbacks } from "./check-fallbacks.ts";
import type { Findings } from "./finding.ts";

/**
 * Reports what leads nowhere once residency has been applied: a model that no region can serve, and a fallback that is none, are errors; a
 * model that some region lacks, a region without any model, and targets and providers that nothing leads to are worth a second look.
 */
export function checkReach(policy: Policy, findings: Findings): void {
  const regions = policy.regions.map(({ id }) => id);
  const known = new Set(regions);
  const residency = new Map(policy.providers.map((provider) => [provider.id, provider.regions]));
  const targets = new Map(policy.targets.map((target) => [target.id, target]));
  const offering = new Set<string>();
  const leadTo = new Set<string>();
  policy.models.forEach((model, m) => {
    const found = model.routes.map(({ target }) => targets.get(target)).filter((target) => target !== undefined);
    const served = new Set(found.flatMap(({ provider }) => residency.get(provider) ?? []));
    for (const { id } of found) leadTo.add(id);
    const missing = regions.filter((region) => !served.has(region));
    for (const region of served) if (known.has(region)) offering.add(region);
    // Without routes, or with routes to unknown targets only, that is the finding.
    if (found.length === 0) return;
    if (missing.length === regions.length) {
      const message = `No region may use any of its targets; add a route to a provider that may serve one of: ${regions.join(", ")}`;
      findings.error(`models[${m}].routes`, "MODEL_UNREACHABLE", message);
    } else if (missing.length > 0) {
      const message = `Has no target in ${missing.join(", ")}, where callers will not find it`;
      findings.warn(`models[${m}].routes`, "MODEL_ABSENT", message);
    }
    const regionsOf = (target: string): string[] =>
      (residency.get(targets.get(target)?.provider ?? "") ?? []).filter((region) => known.has(region));
    checkFallbacks(model.routes, regionsOf, `models[${m}].routes`, findings);
  });
  policy.regions.forEach(({ id }, r) => {
    if (!offering.has(id)) findings.warn(`regions[${r}]`, "REGION_EMPTY", `Region "${id}" has no model to offer`);
  });
  checkUse(policy, leadTo, findings);
}

function checkUse(policy: Policy, leadTo: ReadonlySet<string>, findings: Findings): void {
  const used = new Set(policy.targets.map(({ provider }) => provider));
  policy.providers.forEach(({ id }, p) => {
    if (!used.has(id)) findings.warn(`providers[${p}]`, "PROVIDER_UNUSED", `No target belongs to provider "${id}"`);
  });
  policy.targets.forEach(({ id }, t) => {
    if (!leadTo.has(id)) findings.warn(`targets[${t}]`, "TARGET_UNUSED", `No model leads to target "${id}"`);
  });
}
