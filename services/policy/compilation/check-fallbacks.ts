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
  const first = Math.min(...routes.map(({ priority }) => priority));
  const chains = listChains(routes, regionsOf);
  routes.forEach(({ target, priority }, r) => {
    const own = regionsOf(target);
    if (priority === first || own.length === 0) return;
    const earlier = chains.filter((chain) => chain.first < priority);
    if (earlier.length === 0 || earlier.some(({ region }) => own.includes(region))) return;
    const message =
      `Is a fallback for calls of ${listRegions(earlier)}, and may serve ${own.join(", ")} only: no chat leaves its region; ` +
      "give it the priority of the others, or lead to a provider that may serve their regions";
    findings.error(`${path}[${r}].target`, "FALLBACK_LEAVES_REGION", message);
  });
  const covered = chains.filter((chain) => chain.first !== chain.last);
  const alone = chains.filter((chain) => chain.count === 1 && chain.first === first);
  if (covered.length > 0 && alone.length > 0) {
    const message = `Has a fallback in ${listRegions(covered)}, and none in ${listRegions(alone)}`;
    findings.warn(path, "FALLBACK_ABSENT", message);
  }
}

/** What is left of a model's routes in a region. */
interface Chain {
  readonly region: string;
  /** The lowest and the highest priority. */
  first: number;
  last: number;
  count: number;
}

function listChains(routes: readonly Route[], regionsOf: (target: string) => readonly string[]): Chain[] {
  const chains = new Map<string, Chain>();
  for (const { target, priority } of routes) {
    for (const region of regionsOf(target)) {
      const chain = chains.get(region) ?? { region, first: priority, last: priority, count: 0 };
      chains.set(region, chain);
      chain.first = Math.min(chain.first, priority);
      chain.last = Math.max(chain.last, priority);
      chain.count += 1;
    }
  }
  return [...chains.values()];
}

function listRegions(chains: readonly Chain[]): string {
  return chains.map(({ region }) => region).join(", ");
}
