import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Instance,
  InstanceSchema,
  type ReleaseService,
  RunningVersionSchema,
} from "../../gen/weir/policy/v1/release_service_pb.ts";
import { SnapshotKind, type SnapshotPhase } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Pool } from "../shared/database/pool.ts";
import { createPageToken, readPageSize, readPageToken } from "../shared/page.ts";
import { CONNECTED_MS } from "./distribution/attendance.ts";
import type { Catalogue } from "./distribution/catalogue.ts";
import { listInstances, type StoredInstance } from "./store/instances.ts";

const PAGE = { default: 100, max: 1_000 };

/** What the service is made of. */
export interface ReleaseParts {
  readonly pool: Pool;
  readonly catalogue: Catalogue;
}

/** Serves weir.policy.v1.ReleaseService: what every instance says of itself, whichever instance of policy it said it to. */
export function createReleaseService({ pool, catalogue }: ReleaseParts): ServiceImpl<typeof ReleaseService> {
  return {
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
        instances: instances.map(toInstance),
        nextPageToken: last === undefined ? "" : createPageToken(list, [last.region, last.instance]),
        latest: catalogue
          .listRegions()
          .filter((id) => region === "" || id === region)
          .map((id) => {
            const { snapshot, keyring } = catalogue.getRegion(id);
            return {
              region: id,
              snapshotVersion: snapshot?.version ?? 0n,
              keyringVersion: keyring?.version ?? 0n,
              policyVersion: snapshot?.policyVersion ?? 0n,
            };
          }),
      };
    },
  };
}

function toInstance({ region, instance, boot, build, isWatching, reports }: StoredInstance): Instance {
  const of = (kind: SnapshotKind) => {
    const report = reports.find((each) => each.kind === kind);
    return create(
      RunningVersionSchema,
      report && {
        version: report.runningVersion,
        reportedVersion: report.version,
        phase: report.phase as SnapshotPhase,
        reasons: [...report.reasons],
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
  });
}
