import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Rollout } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { type ReleaseWave, ReleaseWaveSchema } from "../../../gen/weir/policy/v1/release_pb.ts";

/** How long the routers of a wave are watched when the policy does not say: for a share of a region, and for whole regions. */
const SHARE_BAKE = { seconds: 5n };
const REGION_BAKE = { seconds: 10n };

/** Where a release goes. */
export interface RolloutRegions {
  /** Regions that run something already, in the order of the policy: the others need no waves. */
  readonly staged: readonly string[];
  /** Those of them in which a router is connected. */
  readonly live: readonly string[];
}

/**
 * The waves of a release, defaults filled in; together they open every staged region. The default begins with one router of the first
 * region that has one: a wave that nobody is in would prove nothing.
 */
export function planWaves(rollout: Rollout | undefined, { staged, live }: RolloutRegions): ReleaseWave[] {
  const wanted = rollout?.waves ?? [];
  if (wanted.length === 0) return planDefault(staged.find((region) => live.includes(region)) ?? staged[0], staged);
  const waves: ReleaseWave[] = [];
  const isWhole = new Set<string>();
  for (const { regions, share, bake } of wanted) {
    const named = regions.length === 0 ? staged : regions.filter((region) => staged.includes(region));
    const open = named.filter((region) => !isWhole.has(region));
    if (open.length === 0) continue;
    waves.push(
      toWave(open, bake ?? (share.case === undefined ? REGION_BAKE : SHARE_BAKE), {
        routers: share.case === "routers" ? share.value : 0,
        percent: share.case === "percent" ? share.value : 0,
      }),
    );
    if (share.case === undefined) for (const region of open) isWhole.add(region);
  }
  const rest = staged.filter((region) => !isWhole.has(region));
  return rest.length === 0 ? waves : [...waves, toWave(rest, REGION_BAKE)];
}

/** Whether a wave gives the version to every router of its regions, also to those that come later. */
export function isWholeRegions({ routers, percent }: ReleaseWave): boolean {
  return routers === 0 && percent === 0;
}

function planDefault(first: string | undefined, staged: readonly string[]): ReleaseWave[] {
  if (first === undefined) return [];
  const rest = staged.filter((region) => region !== first);
  const waves = [toWave([first], SHARE_BAKE, { routers: 1, percent: 0 }), toWave([first], REGION_BAKE)];
  return rest.length === 0 ? waves : [...waves, toWave(rest, REGION_BAKE)];
}

function toWave(
  regions: readonly string[],
  bake: Pick<Duration, "seconds"> & Partial<Pick<Duration, "nanos">>,
  share = { routers: 0, percent: 0 },
): ReleaseWave {
  const { seconds, nanos = 0 } = bake;
  return create(ReleaseWaveSchema, { regions: [...regions], ...share, bake: { seconds, nanos } });
}
