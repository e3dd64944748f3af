import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Release, ReleaseSchema, ReleaseState } from "../../../gen/weir/policy/v1/release_pb.ts";
import type { Pool } from "../../shared/database/pool.ts";
import type { TrafficCount } from "../rollout/gates.ts";
import { findNextStep } from "../rollout/next-step.ts";
import { findOverheadP95, PERCENTILE_CALLS } from "../rollout/overhead.ts";
import type { StoredRelease } from "../store/releases.ts";
import { readReleaseFacts } from "./release-facts.ts";

/** A release as it is told: what is stored, and what its routers have reported by now. */
export async function readReleaseView(pool: Pool, release: StoredRelease): Promise<Release> {
  const facts = await readReleaseFacts(pool, release);
  const { newTraffic, oldTraffic, routers } = facts.gates;
  const connected = routers.filter(({ isConnected }) => isConnected);
  const next = isRunning(release) ? findNextStep(facts.position, facts.gates) : undefined;
  return create(ReleaseSchema, {
    releaseId: release.releaseId,
    policyVersion: release.policyVersion,
    basePolicyVersion: release.basePolicyVersion,
    state: release.state,
    wave: release.wave,
    waves: [...release.waves],
    regions: facts.regions.map(({ region, version, baseVersion, isOpen }) => ({
      region,
      version,
      baseVersion,
      open: isOpen,
    })),
    reasons: next?.step === "stay" ? [...next.reasons] : [...release.reasons],
    rolledBackBy: release.rolledBackBy,
    admitted: connected.length,
    applied: connected.filter(({ hasApplied }) => hasApplied).length,
    createdAt: timestampFromDate(release.createdAt),
    enteredAt: timestampFromDate(release.enteredAt),
    newTraffic: toTraffic(newTraffic),
    oldTraffic: toTraffic(oldTraffic),
  });
}

/** Whether it is over: nothing that routers do changes it any more. */
export function isEnded(release: Pick<StoredRelease, "state">): boolean {
  return !isRunning(release) && release.state !== ReleaseState.HALTED;
}

function isRunning({ state }: Pick<StoredRelease, "state">): boolean {
  return state === ReleaseState.PENDING || state === ReleaseState.ROLLING || state === ReleaseState.BAKING;
}

function toTraffic({ calls, failures, denials, overhead }: TrafficCount) {
  const p95 = findOverheadP95(overhead, PERCENTILE_CALLS);
  return {
    calls: BigInt(calls),
    failures: BigInt(failures),
    denials: BigInt(denials),
    ...(p95 !== undefined && {
      overheadP95: toDuration(Number.isFinite(p95.atMostMs) ? p95.atMostMs : p95.moreThanMs),
    }),
  };
}

// Unlike `durationFromMs`, also of less than a millisecond.
function toDuration(ms: number) {
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanos: Math.round((ms % 1_000) * 1e6) };
}
