import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type OverheadBucket,
  OverheadBucketSchema,
  type SnapshotService,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { type Clock, pause } from "../clock.ts";
import type { Log } from "../telemetry/log.ts";
import type { HeadKind } from "./head.ts";
import type { SnapshotHold } from "./hold.ts";
import type { InstanceName } from "./report.ts";

/** Policy is told so often: bake times are a few seconds, and a gate should have seen more than one word. */
const REPORT_MS = 2_000;
const TIMEOUT_MS = 2_000;
/** A moment's standstill, such as a swap may bring, must not be most of what is told. */
const SETTLE_MS = 2_000;

/** What an instance has done with calls since it started; only ever rising. */
export interface Traffic {
  /** Calls that began or were refused by policy. */
  readonly calls: number;
  /** Those that failed or were cut, for another reason than the caller's. */
  readonly failures: number;
  /** Those that were refused because of the policy. */
  readonly denials: number;
  /** By the time that it took for them itself, shortest first: always the same buckets. */
  readonly overhead: readonly OverheadBucket[];
}

/** What reporting traffic needs. */
export interface ReportTrafficOptions {
  readonly client: Client<typeof SnapshotService>;
  readonly hold: SnapshotHold;
  readonly name: InstanceName;
  readonly readTraffic: () => Traffic;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the reporting. */
  readonly signal: AbortSignal;
}

/**
 * Tells policy every two seconds what this instance did with calls since it applied the snapshot that it runs. Resolves when the signal
 * fires and never throws: what one report did not bring, the next one does.
 */
export async function reportTraffic(options: ReportTrafficOptions): Promise<void> {
  const { client, hold, name, readTraffic, clock, log, signal } = options;
  let atSwap = readTraffic();
  let swappedMs = clock.monotonicMs();
  const ignore = hold.onChange((kind) => {
    if (kind !== "snapshot") return;
    atSwap = readTraffic();
    swappedMs = clock.monotonicMs();
  });
  let isReported = false;
  while (!signal.aborted) {
    await pause(clock, REPORT_MS, signal);
    const version = hold.heldSnapshot()?.head.version;
    if (version === undefined || signal.aborted) continue;
    const { calls, failures, denials, overhead } = readTraffic();
    const isSettled = clock.monotonicMs() - swappedMs >= SETTLE_MS;
    const request = {
      region: name.region,
      instance: name.instance,
      boot: name.boot,
      snapshotVersion: version,
      calls: BigInt(calls - atSwap.calls),
      failures: BigInt(failures - atSwap.failures),
      denials: BigInt(denials - atSwap.denials),
      overhead: isSettled ? subtract(overhead, atSwap.overhead) : [],
      ...toAge("snapshotAge", hold, "snapshot", clock),
      ...toAge("keyringAge", hold, "keyring", clock),
    };
    try {
      await client.reportTraffic(request, { timeoutMs: TIMEOUT_MS, signal });
      isReported = false;
    } catch (error) {
      if (!isReported && !signal.aborted) log.debug({ error }, "Cannot report traffic; trying again");
      isReported = true;
    }
  }
  ignore();
}

function subtract(after: readonly OverheadBucket[], before: readonly OverheadBucket[]): OverheadBucket[] {
  return after.map((bucket, index) =>
    create(OverheadBucketSchema, { ...bucket, calls: bucket.calls - (before[index]?.calls ?? 0n) }),
  );
}

function toAge(field: "snapshotAge" | "keyringAge", hold: SnapshotHold, kind: HeadKind, clock: Clock) {
  const ageMs = hold.ageMs(kind, clock.nowMs(), clock.monotonicMs());
  return Number.isFinite(ageMs) ? { [field]: durationFromMs(Math.round(ageMs)) } : {};
}
