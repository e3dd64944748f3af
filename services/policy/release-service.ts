import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Release, ReleaseSchema } from "../../gen/weir/policy/v1/release_pb.ts";
import {
  type Instance,
  InstanceSchema,
  type ReleaseService,
  RunningVersionSchema,
} from "../../gen/weir/policy/v1/release_service_pb.ts";
import { SnapshotKind, type SnapshotPhase } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { getAccess } from "../shared/authority/access.ts";
import { pause } from "../shared/clock.ts";
import type { Pool } from "../shared/database/pool.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createPageToken, readPageSize, readPageToken } from "../shared/page.ts";
import { CONNECTED_MS } from "./distribution/attendance.ts";
import type { Catalogue } from "./distribution/catalogue.ts";
import { isEnded, readReleaseView } from "./distribution/release-view.ts";
import { SharedLooks } from "./distribution/shared-looks.ts";
import type { ChangeParts } from "./publish.ts";
import { haltRelease } from "./release.ts";
import { listInstances, type StoredInstance } from "./store/instances.ts";
import { findRelease, type StoredRelease } from "./store/releases.ts";

const PAGE = { default: 100, max: 1_000 };

/** A release is looked at so often while somebody follows it, and told at least so often. */
const LOOK_MS = 250;
const REPEAT_MS = 5_000;

/** Serves weir.policy.v1.ReleaseService: how far a version has come, and what every instance says of itself, to whichever it said it. */
export function createReleaseService(parts: ChangeParts): ServiceImpl<typeof ReleaseService> {
  const { pool, catalogue, clock } = parts;
  const looks = new SharedLooks(clock, LOOK_MS, async (version: bigint) => {
    const stored = await getRelease(pool, version);
    return { release: await readReleaseView(pool, stored), isEnded: isEnded(stored) };
  });
  return {
    async getRelease({ policyVersion }) {
      return { release: await readReleaseView(pool, await getRelease(pool, policyVersion)) };
    },
    async *watchRelease({ policyVersion }, { signal }) {
      // "The latest" is the one that is it now; a later one supersedes it and ends the watch.
      const { policyVersion: version } = await getRelease(pool, policyVersion);
      for await (const release of watchRelease(parts, looks, version, signal)) yield { release };
    },
    async haltRelease({ requestId, policyVersion, comment }, context) {
      const { actor } = getAccess(context);
      await haltRelease(parts, { requestId, policyVersion, comment, actor }, context.signal);
      return { release: await readReleaseView(pool, await getRelease(pool, policyVersion)) };
    },
    async listInstances({ region, pageSize, pageToken }) {
      await catalogue.refreshIfReachable();
      const limit = readPageSize(pageSize, PAGE);
      const list = ["instances", region];
      const after = readPageToken(list, pageToken, 2) as [string, string] | undefined;
      // One more than the page has, to know whether there is another.
      const found = await listInstances(pool, {
        region: region || undefined,
        after,
        limit: limit + 1,
        watchingMs: CONNECTED_MS,
      });
      const instances = found.slice(0, limit);
      const last = found.length > limit ? instances.at(-1) : undefined;
      return {
        instances: instances.map((instance) => toInstance(instance, catalogue)),
        nextPageToken: last === undefined ? "" : createPageToken(list, [last.region, last.instance]),
        latest: catalogue
          .listRegions()
          .filter((id) => region === "" || id === region)
          .map((id) => {
            const { snapshot: released, candidate, keyring } = catalogue.getRegion(id);
            const latest = candidate?.snapshot ?? released;
            return {
              region: id,
              snapshotVersion: latest?.version ?? 0n,
              keyringVersion: keyring?.version ?? 0n,
              policyVersion: latest?.policyVersion ?? 0n,
              releasedVersion: released?.version ?? 0n,
            };
          }),
      };
    },
  };
}

async function getRelease(pool: Pool, policyVersion: bigint): Promise<StoredRelease> {
  const release = await findRelease(pool, policyVersion);
  if (release !== undefined) return release;
  const state = policyVersion === 0n ? "nothing was published yet" : `version ${policyVersion} has none`;
  throw new WeirError("NOT_FOUND", `Cannot get release: ${state}`, {
    facts: { policy_version: String(policyVersion) },
  });
}

interface ReleaseLook {
  readonly release: Release;
  readonly isEnded: boolean;
}

// Looks again and again: reports may come to any instance of policy, and bake times run. Tells it when it is another.
async function* watchRelease(
  { clock }: ChangeParts,
  looks: SharedLooks<bigint, ReleaseLook>,
  version: bigint,
  signal: AbortSignal,
): AsyncGenerator<Release> {
  let told: Uint8Array | undefined;
  let toldAtMs = 0;
  while (!signal.aborted) {
    const { release, isEnded } = await looks.look(version);
    const bytes = toBinary(ReleaseSchema, release);
    const isNew = told === undefined || Buffer.compare(told, bytes) !== 0;
    if (isNew || clock.monotonicMs() - toldAtMs >= REPEAT_MS) {
      told = bytes;
      toldAtMs = clock.monotonicMs();
      yield release;
    }
    if (isEnded) return;
    await pause(clock, LOOK_MS, signal);
  }
}

function toInstance(stored: StoredInstance, catalogue: Catalogue): Instance {
  const { region, instance, boot, build, isWatching, reports, snapshotAgeMs, keyringAgeMs } = stored;
  const of = (kind: SnapshotKind) => {
    const report = reports.find((each) => each.kind === kind);
    return create(
      RunningVersionSchema,
      report && {
        version: report.runningVersion,
        reportedVersion: report.version,
        phase: report.phase as SnapshotPhase,
        reasons: [...report.reasons],
        crashes: report.crashes,
        reportedAt: timestampFromDate(report.reportedAt),
      },
    );
  };
  return create(InstanceSchema, {
    region,
    instance,
    boot,
    build,
    snapshot: of(SnapshotKind.SNAPSHOT),
    keyring: of(SnapshotKind.KEYRING),
    connected: isWatching,
    wantedVersion: catalogue.getRouter(region, instance).snapshot?.version ?? 0n,
    ...(snapshotAgeMs !== undefined && { snapshotAge: durationFromMs(snapshotAgeMs) }),
    ...(keyringAgeMs !== undefined && { keyringAge: durationFromMs(keyringAgeMs) }),
  });
}
