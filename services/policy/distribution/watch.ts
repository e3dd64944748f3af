import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type WatchSnapshotsRequest,
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Catalogue, Release, RouterRelease } from "./catalogue.ts";
import { type Sending, toSending } from "./sending.ts";
import type { Waiter, Wakes } from "./wake.ts";
import type { Place, WholeQueue } from "./whole-queue.ts";

/** A watcher is told that the watch stands at least this often. */
export const HEARTBEAT_MS = 5_000;

/** What a watch needs. */
export interface WatchOptions {
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  /** Shared by all watches. */
  readonly wakes: Wakes;
  /** Shared by all watches of snapshots. */
  readonly wholes: WholeQueue;
  /** Fires when the watcher hangs up. */
  readonly signal: AbortSignal;
}

/** What a watcher holds. */
interface Held {
  readonly version: bigint;
  readonly digest: Uint8Array;
}

/**
 * What one watcher gets, piece by piece: each is made when the one before was taken, so a slow watcher holds nothing up and,
 * when it comes for more, gets the latest and none between. Keys go before policy, for a revocation must not wait behind pages; only who
 * waits in the queue for a whole keyring gets policy meanwhile, and heartbeats.
 */
export async function* watchPieces(
  request: WatchSnapshotsRequest,
  { catalogue, clock, wakes, wholes, signal }: WatchOptions,
): AsyncGenerator<Sending> {
  const waiter: Waiter = { letGo: () => {} };
  signal.addEventListener("abort", () => waiter.letGo(), { once: true });
  let snapshot: Held = { version: request.snapshotVersion, digest: request.snapshotDigest };
  let keyring: Held = { version: request.keyringVersion, digest: request.keyringDigest };
  let place: Place | undefined;
  // The first heartbeat comes as soon as there is nothing else to send.
  let nextHeartbeatMs = clock.monotonicMs();
  try {
    while (!signal.aborted) {
      const latest = catalogue.getRouter(request.region, request.instance);
      const needed = isNewer(latest.keyring, keyring) ? latest.keyring : undefined;
      const update = needed?.findUpdate?.(keyring.version);
      if (needed !== undefined && update === undefined) place ??= wholes.join(() => waiter.letGo());
      if (needed !== undefined && (update !== undefined || place?.isOn())) {
        yield* update === undefined ? needed.pages : [update];
        if (update === undefined) {
          yield needed.end;
          // Who waited for its turn was sent a heartbeat before, which confirmed nothing to a router without a keyring.
          nextHeartbeatMs = clock.monotonicMs();
        }
        keyring = needed;
        place?.leave();
        place = undefined;
      } else if (isNewer(latest.snapshot, snapshot)) {
        yield* latest.snapshot.pages;
        yield latest.snapshot.end;
        snapshot = latest.snapshot;
      } else if (clock.monotonicMs() >= nextHeartbeatMs) {
        yield toSending(toHeartbeat(latest, catalogue.readAgeMs, clock));
        nextHeartbeatMs = clock.monotonicMs() + HEARTBEAT_MS;
      } else {
        await wakes.wait(nextHeartbeatMs, waiter);
      }
    }
  } finally {
    place?.leave();
  }
}

/** A watcher that says it holds a newer version than we know gets nothing: another instance of policy is ahead of this one. */
function isNewer(latest: Release | undefined, held: Held): latest is Release {
  if (latest === undefined || latest.version < held.version) return false;
  return latest.version > held.version || Buffer.compare(latest.digest, held.digest) !== 0;
}

function toHeartbeat({ snapshot, keyring }: RouterRelease, readAgeMs: number, clock: Clock): WatchSnapshotsResponse {
  return create(WatchSnapshotsResponseSchema, {
    piece: {
      case: "heartbeat",
      value: {
        snapshotVersion: snapshot?.version ?? 0n,
        keyringVersion: keyring?.version ?? 0n,
        sentAt: timestampFromMs(clock.nowMs()),
        // Without a reading the versions are 0, and confirm nothing.
        ...(Number.isFinite(readAgeMs) && { readAge: durationFromMs(Math.ceil(readAgeMs)) }),
      },
    },
  });
}
