import {
  SnapshotService,
  type WatchSnapshotsRequest,
  WatchSnapshotsRequestSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { createHotRequestReader } from "../../shared/mesh/hot-request.ts";
import type { HotCall, HotMethod } from "../../shared/mesh/hot-rpc.ts";
import type { Sending } from "./sending.ts";

/** What one watcher is sent, until the signal fires; see `watch.ts`. */
export type Watch = (request: WatchSnapshotsRequest, signal: AbortSignal) => AsyncIterable<Sending>;

const REQUEST_BYTES = 64 * 1024;

/**
 * Serves WatchSnapshots to gRPC off the HTTP/2 stream: what was encoded once is written to each watcher as it is. By the RPC library a
 * thousand watchers took some 95 ms of CPU for each change, most of it for what lies between a message and the stream.
 */
export function createWatchSurface(watch: Watch): HotMethod {
  const read = createHotRequestReader({ schema: WatchSnapshotsRequestSchema, limitBytes: REQUEST_BYTES });
  return {
    method: SnapshotService.method.watchSnapshots,
    open: (call) => read(call, (request) => void serve(call, request, watch)),
  };
}

async function serve(call: HotCall, request: WatchSnapshotsRequest, watch: Watch): Promise<void> {
  const gone = new AbortController();
  let goOn = (): void => {};
  call.listen({
    onDrain: () => goOn(),
    onGone: () => {
      gone.abort();
      goOn();
    },
  });
  try {
    for await (const sending of watch(request, gone.signal)) {
      if (call.send(sending)) continue;
      // Who reads slower is sent no more until it has read: it gets the latest then.
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    }
  } catch (error) {
    call.fail(error);
  }
}
