import { create } from "@bufbuild/protobuf";
import { GatesSchema, type Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ReleaseState } from "../../../gen/weir/policy/v1/release_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { PoolClient } from "../../shared/database/pool.ts";
import { createEventId } from "../../shared/ids.ts";
import { planWaves } from "../rollout/waves.ts";
import { listRouters } from "../store/instances.ts";
import {
  findRelease,
  findReleasedPolicyVersion,
  findReleaseUnderWay,
  insertRelease,
  releaseLatest,
  updateRelease,
} from "../store/releases.ts";
import { listRegions } from "../store/snapshots.ts";
import { CONNECTED_MS } from "./attendance.ts";
import { appendReleaseRecord } from "./release-record.ts";

/** The version that a release brings; its snapshots are stored already. */
export interface BeginReleaseOptions {
  readonly version: bigint;
  readonly policy: Policy;
  /** Version whose content it repeats; 0 for none. */
  readonly contentOf: bigint;
  readonly requestId: string;
  readonly actor: string;
  /** Whoever publishes wants it everywhere at once. Default false. */
  readonly allAtOnce?: boolean;
}

/**
 * Begins the release of a version, inside the change that stores it: supersedes the one under way, gives a region's first snapshot to all
 * its routers, and leaves the rest to waves, or to nobody's waiting when it goes at once. What was released whole before goes at once: who
 * rolls back is in a hurry, and has seen it run.
 */
export async function beginRelease(
  client: PoolClient,
  { clock }: { readonly clock: Clock },
  { version, policy, contentOf, requestId, actor, allAtOnce = false }: BeginReleaseOptions,
): Promise<void> {
  await supersede(client, clock, version, actor);
  const isProven = contentOf !== 0n && (await isReleased(client, contentOf));
  const stored = await listRegions(client);
  const basePolicyVersion = await findReleasedPolicyVersion(client, version);
  const fresh = stored.filter(({ releasedVersion }) => releasedVersion === 0n).map(({ region }) => region);
  const staged = listStaged(policy, stored);
  const isAtOnce = allAtOnce || isProven || policy.rollout?.allAtOnce === true || staged.length === 0;
  const waves = isAtOnce ? [] : planWaves(policy.rollout, { staged, live: await listLiveRegions(client) });
  const release = {
    releaseId: createEventId(clock.nowMs()),
    policyVersion: version,
    basePolicyVersion,
    state: isAtOnce ? ReleaseState.DONE : ReleaseState.PENDING,
    waves,
    gates: policy.rollout?.gates ?? create(GatesSchema),
    regions: stored.map(({ region, snapshotVersion, releasedVersion }) => ({
      region,
      baseVersion: releasedVersion,
      version: snapshotVersion,
      isOpen: isAtOnce || releasedVersion === 0n,
    })),
  };
  await insertRelease(client, release);
  await releaseLatest(client, isAtOnce ? undefined : fresh);
  const { state } = release;
  const before = { ...release, state: ReleaseState.UNSPECIFIED };
  await appendReleaseRecord(client, clock, { release: before, state, wave: 0, actor, requestId });
}

// A version from before there were releases went to all.
async function isReleased(client: PoolClient, version: bigint): Promise<boolean> {
  const release = await findRelease(client, version);
  return release === undefined || release.state === ReleaseState.DONE;
}

async function supersede(client: PoolClient, clock: Clock, version: bigint, actor: string): Promise<void> {
  const release = await findReleaseUnderWay(client);
  if (release === undefined) return;
  const { wave } = release;
  const state = ReleaseState.SUPERSEDED;
  const reasons = [...release.reasons, `Version ${version} was published before it was done`];
  await updateRelease(client, release, { state, wave, reasons });
  await appendReleaseRecord(client, clock, { release, state, wave, reasons, actor });
}

// In the order of the policy; regions that have left it come last.
function listStaged(policy: Policy, stored: Awaited<ReturnType<typeof listRegions>>): string[] {
  const staged = new Set(stored.filter(({ releasedVersion }) => releasedVersion > 0n).map(({ region }) => region));
  const named = policy.regions.map(({ id }) => id).filter((region) => staged.has(region));
  return [...named, ...[...staged].filter((region) => !named.includes(region))];
}

async function listLiveRegions(client: PoolClient): Promise<string[]> {
  const routers = await listRouters(client, CONNECTED_MS);
  return routers.filter(({ isWatching, report }) => isWatching && report !== undefined).map(({ region }) => region);
}
