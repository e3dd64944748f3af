import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type WatchSnapshotsRequest,
  type WatchSnapshotsResponse,
  WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Catalogue, Release, RouterRelease } from "./catalogue.ts";
import type { Waiter, Wakes } from "./wake.ts";

/** A watcher is told that the watch stands at least this often. */
export const HEARTBEAT_MS = 5_000;

/** What a watch needs. */
export interface WatchOptions {
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  /** Shared by all watches. */
  readonly wakes: Wakes;
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
 * when it comes for more, gets the latest and none between. Keys go before policy: a revocation must not wait behind pages.
 */
export async function* watchPieces(
  request: WatchSnapshotsRequest,
  { catalogue, clock, wakes, signal }: WatchOptions,
): AsyncGenerator<WatchSnapshotsResponse> {
  const waiter: Waiter = { letGo: () => {} };
  signal.addEventListener("abort", () => waiter.letGo(), { once: true });
  let snapshot: Held = { version: request.snapshotVersion, digest: request.snapshotDigest };
  let keyring: Held = { version: request.keyringVersion, digest: request.keyringDigest };
  // The first heartbeat comes as soon as the watcher has all there is, so that it knows that it has.
  let nextHeartbeatMs = clock.monotonicMs();
  while (!signal.aborted) {
    const latest = catalogue.getRouter(request.region, request.instance);
    if (isNewer(latest.keyring, keyring)) {
      const change = latest.keyring.findChange?.(keyring.version);
      yield* change === undefined ? latest.keyring.parts : [change, latest.keyring.head];
      keyring = latest.keyring;
    } else if (isNewer(latest.snapshot, snapshot)) {
      yield* latest.snapshot.parts;
      snapshot = latest.snapshot;
    } else if (clock.monotonicMs() >= nextHeartbeatMs) {
      yield toHeartbeat(latest, catalogue.readAgeMs, clock);
      nextHeartbeatMs = clock.monotonicMs() + HEARTBEAT_MS;
    } else {
      await wakes.wait(nextHeartbeatMs, waiter);
    }
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
