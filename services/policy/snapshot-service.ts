import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { SnapshotService } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Pool } from "../shared/database/pool.ts";
import { fromSending } from "./distribution/sending.ts";
import type { TrafficDesk } from "./distribution/traffic-desk.ts";
import type { Watch } from "./distribution/watch-surface.ts";
import { storeReport } from "./store/instances.ts";

/** What the service is made of. */
export interface SnapshotParts {
  readonly pool: Pool;
  /** The same that serves gRPC off its streams. */
  readonly watch: Watch;
  readonly traffic: TrafficDesk;
  /** Called after each report of a version that was stored: a release may be waiting for it. */
  readonly onReport: () => void;
}

/** Serves weir.policy.v1.SnapshotService. A watch needs no database: what was read last is handed out. */
export function createSnapshotService(parts: SnapshotParts): ServiceImpl<typeof SnapshotService> {
  const { pool, watch, traffic, onReport } = parts;
  return {
    // Of another protocol than plain gRPC, such as a person's with JSON: those who watch for long come by `watch-surface.ts`.
    async *watchSnapshots(request, { signal }) {
      for await (const sending of watch(request, signal)) yield* fromSending(sending);
    },
    async reportSnapshot(report) {
      await storeReport(pool, report);
      onReport();
      return {};
    },
    reportTraffic({ snapshotVersion, snapshotAge, keyringAge, ...report }) {
      traffic.take({
        ...report,
        version: snapshotVersion,
        snapshotAgeMs: snapshotAge && durationMs(snapshotAge),
        keyringAgeMs: keyringAge && durationMs(keyringAge),
      });
      return {};
    },
  };
}
