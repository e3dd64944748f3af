import { SnapshotPhase } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Pool, PoolClient } from "../../shared/database/pool.ts";
import { type AdmittedRouter, type GateFacts, type GateLimits, toGateLimits } from "../rollout/gates.ts";
import type { ReleasePosition } from "../rollout/next-step.ts";
import { listRouters, type StoredRouter, type StoredRouterReport } from "../store/instances.ts";
import {
  listReleaseRegions,
  listReleaseRouters,
  type StoredRelease,
  type StoredReleaseRegion,
  type StoredReleaseRouter,
} from "../store/releases.ts";
import { sumTraffic } from "../store/traffic.ts";
import { CONNECTED_MS } from "./attendance.ts";

/** All that the next step of a release is found from, as the database has it. */
export interface ReleaseFacts {
  readonly position: ReleasePosition;
  readonly gates: GateFacts;
  readonly regions: readonly StoredReleaseRegion[];
  /** Every router, whether it has a part in the release or not. */
  readonly routers: readonly StoredRouter[];
}

/** Reads what a release stands on. */
export async function readReleaseFacts(pool: Pool | PoolClient, release: StoredRelease): Promise<ReleaseFacts> {
  const limits = toGateLimits(release.gates);
  const regions = await listReleaseRegions(pool, release.releaseId);
  const named = await listReleaseRouters(pool, release.releaseId);
  const routers = await listRouters(pool, CONNECTED_MS);
  const { after, during, before } = await sumTraffic(pool, release.releaseId);
  return {
    position: {
      state: release.state,
      wave: release.wave,
      waves: release.waves,
      limits,
      inStateMs: release.inStateMs,
      isWaveEmpty: !named.some(({ wave }) => wave === release.wave),
    },
    gates: {
      routers: listAdmitted(regions, named, routers),
      rollingMs: release.inStateMs,
      newTraffic: after,
      // Side by side is fairer, as a provider's trouble shows on both sides; where too few run the old version, its past must do.
      oldTraffic: isEnough(during, limits) ? during : before,
    },
    regions,
    routers,
  };
}

function isEnough({ calls }: { readonly calls: number }, { minimumCalls }: GateLimits): boolean {
  return calls >= minimumCalls;
}

function listAdmitted(
  regions: readonly StoredReleaseRegion[],
  named: readonly StoredReleaseRouter[],
  routers: readonly StoredRouter[],
): AdmittedRouter[] {
  const known = new Map(routers.map((router) => [toName(router), router]));
  const names = new Set(named.map(toName));
  const byRegion = new Map(regions.map((region) => [region.region, region]));
  const later = routers.filter((router) => byRegion.get(router.region)?.isOpen && !names.has(toName(router)));
  return [...named.map((each) => ({ ...each, isNamed: true })), ...later.map((each) => ({ ...each, isNamed: false }))]
    .filter(({ region }) => byRegion.has(region))
    .map(({ region, instance, isNamed }) => {
      const name = toName({ region, instance });
      const router = known.get(name);
      const { version } = byRegion.get(region) as StoredReleaseRegion;
      return { name, isNamed, isConnected: router?.isWatching ?? false, ...readReport(router?.report, version) };
    });
}

// A refusal of what has no version is that of a signature, and so of whatever is sent.
function readReport(report: StoredRouterReport | undefined, version: bigint) {
  const isAbout = report !== undefined && (report.version === version || report.version === 0n);
  return {
    hasApplied: report?.version === version && report.phase === SnapshotPhase.APPLIED,
    refusal: isAbout && report.phase === SnapshotPhase.REFUSED ? report.reasons : undefined,
    crashes: report?.version === version ? report.crashes : 0,
  };
}

function toName({ region, instance }: { readonly region: string; readonly instance: string }): string {
  return `${region}/${instance}`;
}
