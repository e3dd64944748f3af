import type { ServiceImpl } from "@connectrpc/connect";
import type { SnapshotService } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Clock } from "../shared/clock.ts";
import type { Pool } from "../shared/database/pool.ts";
import type { Attendance } from "./distribution/attendance.ts";
import type { Catalogue } from "./distribution/catalogue.ts";
import { watchPieces } from "./distribution/watch.ts";
import { storeReport } from "./store/instances.ts";

/** What the service is made of. */
export interface SnapshotParts {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly catalogue: Catalogue;
  readonly attendance: Attendance;
}

/** Serves weir.policy.v1.SnapshotService. A watch needs no database: what was read last is handed out. */
export function createSnapshotService(parts: SnapshotParts): ServiceImpl<typeof SnapshotService> {
  const { pool, clock, catalogue, attendance } = parts;
  return {
    async *watchSnapshots(request, { signal }) {
      const { region, instance, boot } = request;
      const leave = attendance.enter({ region, instance, boot });
      try {
        yield* watchPieces(request, { catalogue, clock, signal });
      } finally {
        leave();
      }
    },
    async reportSnapshot(report) {
      const { region, instance, boot, build, kind, version, digest, phase, reasons, runningVersion } = report;
      await storeReport(pool, { region, instance, boot, build, kind, version, digest, phase, reasons, runningVersion });
      return {};
    },
  };
}
