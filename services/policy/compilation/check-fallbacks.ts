import type { Route } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Findings } from "./finding.ts";

/**
 * Reports chains of fallbacks that are not what they look like, since no chat leaves its region: a fallback that may serve none of the regions
 * whose calls could come to it is an error, and a region that lacks the fallback that another one has is worth a second look. `regionsOf` says
 * which regions a target may serve.
 */
export function checkFallbacks(
  routes: readonly Route[],
  regionsOf: (target: string) => readonly string[],
  path: string,
  findings: Findings,
): void {
  const chains = new Map<string, Route[]>();
  for (const route of routes) {
    for (const region of regionsOf(route.target)) chains.set(region, [...(chains.get(region) ?? []), route]);
  }
  const first = Math.min(...routes.map(({ priority }) => priority));
  routes.forEach(({ target, priority }, r) => {
    const own = regionsOf(target);
    if (priority === first || own.length === 0) return;
    const earlier = [...chains].filter(([, chain]) => chain.some((route) => route.priority < priority));
    if (earlier.length === 0 || earlier.some(([region]) => own.includes(region))) return;
    const message =
      `Is a fallback for calls of ${listRegions(earlier)}, and may serve ${own.join(", ")} only: no chat leaves its region; ` +
      "give it the priority of the others, or lead to a provider that may serve their regions";
    findings.error(`${path}[${r}].target`, "FALLBACK_LEAVES_REGION", message);
  });
  const covered = [...chains].filter(([, chain]) => chain.some((route) => route.priority !== chain[0]?.priority));
  const alone = [...chains].filter(([, chain]) => chain.length === 1 && chain[0]?.priority === first);
  if (covered.length > 0 && alone.length > 0) {
    const message = `Has a fallback in ${listRegions(covered)}, and none in ${listRegions(alone)}`;
    findings.warn(path, "FALLBACK_ABSENT", message);
  }
}

function listRegions(chains: readonly (readonly [string, unknown])[]): string {
  return chains.map(([region]) => region).join(", ");
}
