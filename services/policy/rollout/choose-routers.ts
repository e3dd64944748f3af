import { createHash } from "node:crypto";
import type { ReleaseWave } from "../../../gen/weir/policy/v1/release_pb.ts";

/** Names a router. */
export interface RouterName {
  readonly region: string;
  readonly instance: string;
}

/**
 * The routers that a wave gives the version to, of those that are connected and report. The order within a region is that of a hash of
 * the release and the name: the same whoever computes it, other routers at each release, and a larger share has the smaller one in it.
 */
export function chooseRouters<T extends RouterName>(releaseId: string, wave: ReleaseWave, routers: readonly T[]): T[] {
  return wave.regions.flatMap((region) => {
    const present = routers.filter((router) => router.region === region);
    const count = countChosen(wave, present.length);
    if (count >= present.length) return present;
    const ranked = present.map((router) => ({ router, rank: rankOf(releaseId, router) }));
    return ranked
      .sort((a, b) => (a.rank < b.rank ? -1 : 1))
      .slice(0, count)
      .map(({ router }) => router);
  });
}

function countChosen({ routers, percent }: ReleaseWave, present: number): number {
  if (routers > 0) return routers;
  return percent > 0 ? Math.ceil((present * percent) / 100) : present;
}

function rankOf(releaseId: string, { region, instance }: RouterName): string {
  return createHash("sha256").update(`${releaseId}/${region}/${instance}`).digest("hex");
}
