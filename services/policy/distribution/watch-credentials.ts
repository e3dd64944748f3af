import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type WatchCredentialsRequest,
  type WatchCredentialsResponse,
  WatchCredentialsResponseSchema,
} from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import type { Waiter } from "./wake.ts";
import { HEARTBEAT_MS, type WatchOptions } from "./watch.ts";

/**
 * What one watcher of credentials gets, piece by piece: the latest set when it lacks it, then heartbeats. A watcher that says it holds a
 * newer set than we know gets nothing: another instance of policy is ahead of this one.
 */
export async function* watchCredentialPieces(
  request: WatchCredentialsRequest,
  { catalogue, clock, wakes, signal }: Omit<WatchOptions, "wholes">,
): AsyncGenerator<WatchCredentialsResponse> {
  const waiter: Waiter = { letGo: () => {} };
  signal.addEventListener("abort", () => waiter.letGo(), { once: true });
  let held = { version: request.setVersion, digest: request.setDigest };
  // The first heartbeat comes as soon as the watcher has all there is, so that it knows that it has.
  let nextHeartbeatMs = clock.monotonicMs();
  while (!signal.aborted) {
    const latest = catalogue.findCredentials(request.region);
    if (
      latest !== undefined &&
      (latest.version > held.version ||
        (latest.version === held.version && Buffer.compare(latest.digest, held.digest) !== 0))
    ) {
      yield latest.piece;
      held = latest;
    } else if (clock.monotonicMs() >= nextHeartbeatMs) {
      yield create(WatchCredentialsResponseSchema, {
        piece: {
          case: "heartbeat",
          value: { setVersion: latest?.version ?? 0n, sentAt: timestampFromMs(clock.nowMs()) },
        },
      });
      nextHeartbeatMs = clock.monotonicMs() + HEARTBEAT_MS;
    } else {
      await wakes.wait(nextHeartbeatMs, waiter);
    }
  }
}
