import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { SnapshotPhase, SnapshotService } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Bus } from "../bus/bus.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { NoteVerifier } from "../note/note.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { CrashGuard } from "./crash-guard.ts";
import { SnapshotDisk } from "./disk.ts";
import type { HeadKind } from "./head.ts";
import { type PinnedPolicy, SnapshotHold } from "./hold.ts";
import { type InstanceName, SnapshotReporter } from "./report.ts";
import { walkSecondRoad } from "./second-road.ts";
import { reportTraffic, type Traffic } from "./traffic.ts";
import { watchSnapshots } from "./watch.ts";

/** How often the disk is told that what it has was confirmed. */
const STAMP_MS = 60_000;
const KINDS: readonly HeadKind[] = ["snapshot", "keyring"];

/** What keeping needs. */
export interface KeepSnapshotsOptions {
  readonly name: InstanceName;
  /** Keys that sign heads, from the trust file. */
  readonly trust: Iterable<NoteVerifier>;
  /** Directory for the last good ones, of this process alone. */
  readonly directory: string;
  /** To policy. Its owner closes it. */
  readonly transport: Transport;
  readonly log: Log;
  /** Default the machine's. */
  readonly clock?: Clock;
  /** Counts refusals by kind, when given. */
  readonly metrics?: Pick<Metrics, "weir_router_snapshot_refusals_total">;
  /** Called when the watch of policy stands, and when it is lost. */
  readonly onConnected?: (connected: boolean) => void;
  /** What this instance has done with calls since it started. When given, policy is told what it did since each swap. */
  readonly readTraffic?: () => Traffic;
  /** To the region's own NATS server: the second road, walked at the start and while the watch of policy does not stand. */
  readonly bus?: Bus;
}

/** A region's policy as it is now, kept up to date. */
export interface KeptSnapshots {
  /** What a chat pins when it arrives. */
  current(): PinnedPolicy | undefined;
  /**
   * For how long policy has not confirmed that what is held is the newest, in milliseconds, by whichever clock says more; kept over
   * restarts to the minute. Infinity when nothing is held, or nothing says. Cheap enough for each call.
   */
  getAgeMs(kind: HeadKind): number;
  /** Resolves as soon as there is a snapshot and a keyring, from wherever; never when none comes. */
  readonly ready: Promise<void>;
  /** Calls `listener` after each swap. Returns how to stop it. */
  onChange(listener: (kind: HeadKind) => void): () => void;
  /** Stops watching and waits until what was applied is on disk. */
  close(): Promise<void>;
}

/**
 * Keeps a region's snapshot and keyring: takes them from disk and from policy at once, whichever is faster, the highest
 * version wins; writes each new one to disk; reports what runs.
 */
export function keepSnapshots(options: KeepSnapshotsOptions): KeptSnapshots {
  const { name, trust, log, clock = systemClock } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const client: Client<typeof SnapshotService> = createClient(SnapshotService, options.transport);
  const guard = new CrashGuard({ directory: options.directory, clock, log });
  const countCrashes: CrashGuard["countCrashes"] = (head) => guard.countCrashes(head);
  const reporter = new SnapshotReporter({ client, name, clock, log, signal, countCrashes });
  const hold = new SnapshotHold({
    trust,
    region: name.region,
    isBarred: (head) => guard.isBarred(head),
    beginApplying: (head) => guard.beginApplying(head),
  });
  const ready = Promise.withResolvers<void>();
  const countRefusal = (kind: HeadKind) => options.metrics?.weir_router_snapshot_refusals_total.inc({ kind });
  const disk = new SnapshotDisk({
    directory: options.directory,
    log,
    onRefused: (kind, { head, stage, reasons }) => {
      countRefusal(kind);
      // What policy has not signed is none of its versions, and no refusal of one.
      if (head === undefined) return;
      const { version, digest } = head;
      const runningVersion = versionOf(kind, hold);
      const told = reasons.map((reason) => `${stage}: on disk: ${reason}`);
      reporter.report({ kind, version, digest, phase: SnapshotPhase.REFUSED, reasons: told, runningVersion });
    },
  });
  hold.onChange((kind) => {
    if (hold.current() !== undefined) ready.resolve();
    const head = hold.heldSnapshot()?.head;
    if (kind === "snapshot" && head !== undefined) guard.watch(head);
    void disk.save(kind, hold);
  });

  const loaded = disk.load(hold).then((kinds) => {
    for (const kind of kinds) reportRunning(kind, hold, reporter);
  });
  const stamped = new Map<HeadKind, number>();
  const stamp = (kind: HeadKind): void => {
    const nowMs = clock.monotonicMs();
    if (nowMs < (stamped.get(kind) ?? Number.NEGATIVE_INFINITY) + STAMP_MS) return;
    stamped.set(kind, nowMs);
    void disk.stamp(kind, hold);
  };
  let isConnected = false;
  const watched = watchSnapshots({
    client,
    hold,
    reporter,
    name,
    clock,
    log,
    signal,
    onRefused: countRefusal,
    onConfirmed: stamp,
    onConnected: (connected) => {
      isConnected = connected;
      options.onConnected?.(connected);
    },
  });
  const { bus } = options;
  const walked =
    bus === undefined
      ? Promise.resolve()
      : walkSecondRoad({
          bus,
          hold,
          region: name.region,
          isConnected: () => isConnected,
          clock,
          log,
          signal,
          onRefused: countRefusal,
        });
  const told =
    options.readTraffic === undefined
      ? Promise.resolve()
      : reportTraffic({ client, hold, name, clock, log, signal, readTraffic: options.readTraffic });
  return {
    current: () => hold.current(),
    getAgeMs: (kind) => hold.ageMs(kind, clock.nowMs(), clock.monotonicMs()),
    ready: ready.promise,
    onChange: (listener) => hold.onChange(listener),
    close: async () => {
      stopping.abort();
      await Promise.all([loaded, watched, walked, told]);
      await disk.flush();
      for (const kind of KINDS) await disk.stamp(kind, hold);
      guard.close();
    },
  };
}

function versionOf(kind: HeadKind, hold: SnapshotHold): bigint {
  return (kind === "snapshot" ? hold.heldSnapshot() : hold.heldKeyring())?.head.version ?? 0n;
}

function reportRunning(kind: HeadKind, hold: SnapshotHold, reporter: SnapshotReporter): void {
  const head = (kind === "snapshot" ? hold.heldSnapshot() : hold.heldKeyring())?.head;
  if (head === undefined) return;
  const { version, digest } = head;
  reporter.report({ kind, version, digest, phase: SnapshotPhase.APPLIED, reasons: [], runningVersion: version });
}
