import type { Limit, Policy, TenantSelector } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Findings } from "./finding.ts";

/**
 * Reports limits that hold nobody back, because another one that counts all of the same calls, together or in larger groups, is used up first.
 * Of two that say the same, the later one is reported.
 */
export function checkLimits({ limits }: Policy, { warn }: Findings): void {
  limits.forEach((limit, index) => {
    const tighter = limits.find(
      (other, at) => at !== index && shadows(other, limit) && (at < index || !shadows(limit, other)),
    );
    if (tighter === undefined) return;
    const message = `Never holds anyone back: limit "${tighter.id}" counts the same calls and allows no more`;
    warn(`limits[${index}]`, "LIMIT_SHADOWED", message);
  });
}

/** Whether one limit is always used up before another. */
function shadows(tighter: Limit, limit: Limit): boolean {
  // LimitPer rises from each key to the organisation: a larger group uses up what it shares no later.
  return (
    tighter.requestsPerMinute <= limit.requestsPerMinute &&
    tighter.per >= limit.per &&
    covers(tighter.tenants, limit.tenants)
  );
}

const SELECTOR_FIELDS = ["organisation", "team", "app", "environment"] as const;

/** Whether every tenant that one selector chooses is chosen by another. An absent one chooses all. */
function covers(wide: TenantSelector | undefined, narrow: TenantSelector | undefined): boolean {
  return SELECTOR_FIELDS.every((field) => {
    const wanted = wide?.[field] ?? "";
    return wanted === "" || wanted === narrow?.[field];
  });
}
