import { setTimeout as wait } from "node:timers/promises";
import { HOST } from "../../../cli/up/layout.ts";
import { SnapshotService, type WatchSnapshotsResponse } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { toHeadPiece, toSnapshotPieces } from "../../../services/policy/distribution/pieces.ts";
import { Health } from "../../../services/shared/mesh/health.ts";
import { startMeshServer } from "../../../services/shared/mesh/server.ts";
import { createLog } from "../../../services/shared/telemetry/log.ts";
import type { SignedSnapshot } from "../contenders/disk-policy.ts";

/** A stand-in for policy that sends a router new snapshots. */
export interface SnapshotSource {
  /** Sends the next version to all who watch. Throws when there is none left. */
  sendNext(): void;
  close(): Promise<void>;
}

/** Longer than any run: nobody is told anything in between. */
const FOR_EVER_MS = 2 ** 31 - 1;

/**
 * Serves versions that were made and signed beforehand, in this process. Policy itself would compile, sign and store each of them on the
 * core of the load, which then comes late: what is measured here is the router that takes them.
 */
export async function serveSnapshots(port: number, versions: readonly SignedSnapshot[]): Promise<SnapshotSource> {
  const prepared = versions.map(({ version, content, note }) => [
    ...toSnapshotPieces(version, content),
    toHeadPiece("snapshot", note),
  ]);
  let sent = 0;
  let wake = new AbortController();
  async function* watch(signal: AbortSignal): AsyncGenerator<WatchSnapshotsResponse> {
    for (let next = sent; !signal.aborted; ) {
      if (next < sent) {
        yield* prepared[sent - 1] as WatchSnapshotsResponse[];
        next = sent;
      } else {
        await wait(FOR_EVER_MS, undefined, { signal: AbortSignal.any([signal, wake.signal]) }).catch(() => undefined);
      }
    }
  }
  const server = await startMeshServer({
    listen: { host: HOST, port },
    tls: undefined,
    // Routers of this machine, whose names are believed as policy believes them on loopback.
    authority: { identify: () => ({ kind: "neighbour" }) },
    services: [SnapshotService],
    routes: (router) =>
      router.service(SnapshotService, {
        watchSnapshots: (_, { signal }) => watch(signal),
        reportSnapshot: () => ({}),
      }),
    reflection: false,
    health: new Health({}),
    log: createLog({ service: "bench", level: "warn" }),
  });
  return {
    sendNext() {
      if (sent === prepared.length) throw new Error("Cannot send a snapshot: none is left");
      sent += 1;
      wake.abort();
      wake = new AbortController();
    },
    close: () => server.close(),
  };
}
