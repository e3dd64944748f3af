import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Findings } from "./finding.ts";

/** Reports waves that lead to nobody: regions that are not there, or that an earlier wave has as a whole; waves and gates that are not used. */
export function checkRollout({ regions, rollout }: Policy, { error, warn }: Findings): void {
  if (rollout === undefined) return;
  const known = new Set(regions.map(({ id }) => id));
  const whole = new Set<string>();
  if (rollout.allAtOnce && rollout.waves.length > 0) {
    warn(
      "rollout.waves",
      "WAVES_UNUSED",
      "Every version goes to all routers at once; remove the waves, or all_at_once",
    );
  }
  if (rollout.allAtOnce && rollout.gates !== undefined) {
    warn(
      "rollout.gates",
      "GATES_UNUSED",
      "Every version goes to all routers at once, and none is compared; remove the gates, or all_at_once",
    );
  }
  rollout.waves.forEach(({ regions: named, share }, w) => {
    named.forEach((region, r) => {
      const field = `rollout.waves[${w}].regions[${r}]`;
      if (!known.has(region)) error(field, "REGION_UNKNOWN", `There is no region "${region}" in this policy`);
      else if (whole.has(region)) warn(field, "WAVE_EMPTY", `An earlier wave has all routers of "${region}"`);
    });
    const open = (named.length === 0 ? [...known] : named).filter((region) => !whole.has(region));
    if (named.length === 0 && open.length === 0) {
      warn(`rollout.waves[${w}]`, "WAVE_EMPTY", "Earlier waves have all routers of every region");
    }
    if (share.case === undefined) for (const region of open) whole.add(region);
  });
}
