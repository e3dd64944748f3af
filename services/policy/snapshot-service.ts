import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { SnapshotService } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Clock } from "../shared/clock.ts";
import type { Pool } from "../shared/database/pool.ts";
import type { Attendance } from "./distribution/attendance.ts";
import type { Catalogue } from "./distribution/catalogue.ts";
import { encodeOnce } from "./distribution/encode-once.ts";
import type { TrafficDesk } from "./distribution/traffic-desk.ts";
import type { Wakes } from "./distribution/wake.ts";
import { watchPieces } from "./distribution/watch.ts";
import { storeReport } from "./store/instances.ts";

/** What the service is made of. */
export interface SnapshotParts {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly catalogue: Catalogue;
  readonly attendance: Attendance;
  readonly wakes: Wakes;
  readonly traffic: TrafficDesk;
  /** Called after each report of a version that was stored: a release may be waiting for it. */
  readonly onReport: () => void;
}

/** Serves weir.policy.v1.SnapshotService. A watch needs no database: what was read last is handed out. */
export function createSnapshotService(parts: SnapshotParts): ServiceImpl<typeof SnapshotService> {
  const { pool, clock, catalogue, attendance, wakes, traffic, onReport } = parts;
  return {
    async *watchSnapshots(request, { signal, requestHeader }) {
      const { region, instance, boot } = request;
      const leave = attendance.enter({ region, instance, boot });
      const isBinary = !(requestHeader.get("content-type") ?? "").includes("json");
      try {
        for await (const message of watchPieces(request, { catalogue, clock, wakes, signal })) {
          // A heartbeat is one watcher's own; all else goes to many.
          yield isBinary && message.piece.case !== "heartbeat" ? encodeOnce(message) : message;
        }
      } finally {
        leave();
      }
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
