import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type ReportSnapshotRequest,
  SnapshotKind,
  SnapshotPhase,
  SnapshotService,
  type WatchSnapshotsRequest,
  type WatchSnapshotsResponseSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { ManualClock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import type { DigestedEntry } from "./bucket.ts";
import { type KeptSnapshots, keepSnapshots } from "./keep.ts";
import { SAMPLE_TRUST, sampleKeyEntry, sampleKeyring, sampleNote, sampleSnapshot } from "./snapshots.fixture.ts";

type Piece = NonNullable<MessageInitShape<typeof WatchSnapshotsResponseSchema>["piece"]>;

const log = createLog({ service: "test", level: "silent" });
const name = { region: "eu", instance: "eu-1", boot: "life-1", build: "0.1.0" };
let directory: string;
let kept: KeptSnapshots[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-keep-"));
  kept = [];
});
afterEach(async () => {
  for (const snapshots of kept) await snapshots.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Policy as a script: each watch is answered with what the test pushes to it. */
class Policy {
  readonly watches: { request: WatchSnapshotsRequest; push: (...pieces: Piece[]) => void; isOver: () => boolean }[] =
    [];
  readonly reports: ReportSnapshotRequest[] = [];
  isAway = false;

  readonly transport: Transport = createRouterTransport(({ service }) => {
    service(SnapshotService, {
      watchSnapshots: (request, context) => this.#watch(request, context.signal),
      reportSnapshot: async (request) => {
        if (this.isAway) throw new ConnectError("away", Code.Unavailable);
        this.reports.push(request);
        return {};
      },
    });
  });

  async *#watch(request: WatchSnapshotsRequest, signal: AbortSignal) {
    if (this.isAway) throw new ConnectError("away", Code.Unavailable);
    const queue: Piece[] = [];
    let wake = Promise.withResolvers<void>();
    const push = (...pieces: Piece[]) => {
      queue.push(...pieces);
      wake.resolve();
    };
    signal.addEventListener("abort", () => wake.resolve());
    this.watches.push({ request, push, isOver: () => signal.aborted });
    while (!signal.aborted) {
      const piece = queue.shift();
      if (piece !== undefined) yield { piece };
      else {
        await wake.promise;
        wake = Promise.withResolvers();
      }
    }
  }

  /** The watch of this number, from 0, once it is there. */
  async watch(number: number) {
    await vi.waitFor(() => expect(this.watches.length).toBeGreaterThan(number), { timeout: 5_000, interval: 1 });
    return this.watches[number]!;
  }

  phasesOf(kind: SnapshotKind, version: bigint): SnapshotPhase[] {
    return this.reports
      .filter((report) => report.kind === kind && report.version === version)
      .map(({ phase }) => phase);
  }
}

function snapshotPieces(version: bigint, pageBytes = 50): Piece[] {
  const { note, content } = sampleSnapshot(version);
  const pages: Piece[] = [];
  for (let at = 0; at < content.length; at += pageBytes) {
    const value = { version, index: pages.length, content: content.subarray(at, at + pageBytes) };
    pages.push({ case: "snapshotPage", value });
  }
  return [...pages, { case: "head", value: { kind: SnapshotKind.SNAPSHOT, note } }];
}

function keyringPieces(version: bigint, entries: DigestedEntry[]): Piece[] {
  const { note } = sampleKeyring(version, entries);
  return [
    ...entries.map((entry, index): Piece => ({ case: "keyringPage", value: { version, index, entries: [entry] } })),
    { case: "head", value: { kind: SnapshotKind.KEYRING, note } },
  ];
}

function start(
  policy: Policy,
  clock = new ManualClock(),
  metrics?: Parameters<typeof keepSnapshots>[0]["metrics"],
): KeptSnapshots {
  const { transport } = policy;
  const options = { name, trust: SAMPLE_TRUST, directory, transport, log, clock };
  const snapshots = keepSnapshots({ ...options, ...(metrics && { metrics }) });
  kept.push(snapshots);
  return snapshots;
}

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 5_000, interval: 1 });
const [first, second, third] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"].map((id) => sampleKeyEntry(id)) as [
  DigestedEntry,
  DigestedEntry,
  DigestedEntry,
];

describe("keep", () => {
  it("a new router gets snapshot and keyring in pages, runs them, and says how far it is at each step", async () => {
    const policy = new Policy();
    const snapshots = start(policy);
    const watch = await policy.watch(0);
    expect(watch.request).toMatchObject({ region: "eu", instance: "eu-1", snapshotVersion: 0n, keyringVersion: 0n });
    watch.push(...snapshotPieces(3n), ...keyringPieces(8n, [first, second]));
    await snapshots.ready;
    expect(snapshots.current()).toMatchObject({ snapshotVersion: 3n, keyringVersion: 8n });
    const steps = [SnapshotPhase.RECEIVED, SnapshotPhase.VALIDATED, SnapshotPhase.APPLIED];
    await eventually(() => {
      expect(policy.phasesOf(SnapshotKind.SNAPSHOT, 3n)).toEqual(steps);
      expect(policy.phasesOf(SnapshotKind.KEYRING, 8n)).toEqual(steps);
    });
  });

  it("a change of the keyring applies to what is held and leads to the signed digest", async () => {
    const policy = new Policy();
    const snapshots = start(policy);
    const watch = await policy.watch(0);
    watch.push(...snapshotPieces(1n), ...keyringPieces(1n, [first, second]));
    await snapshots.ready;
    const change = { baseVersion: 1n, version: 2n, changed: [third], removedIds: [second.id] };
    const { note } = sampleKeyring(2n, [first, third]);
    watch.push({ case: "keyringChange", value: change }, { case: "head", value: { kind: SnapshotKind.KEYRING, note } });
    await eventually(() => expect(snapshots.current()?.keyringVersion).toBe(2n));
    expect([first, second, third].map(({ id }) => snapshots.current()?.keyring.find(id) !== undefined)).toEqual([
      true,
      false,
      true,
    ]);
    expect(policy.watches).toHaveLength(1);
  });

  it.each([
    ["does not lead to the signed digest", 1n, [second]],
    ["starts from another version", 7n, [first, third]],
  ])("after a change that %s all pages are fetched", async (_, baseVersion, changed) => {
    const policy = new Policy();
    const snapshots = start(policy);
    const watch = await policy.watch(0);
    watch.push(...snapshotPieces(1n), ...keyringPieces(1n, [first]));
    await snapshots.ready;
    const { note } = sampleKeyring(9n, [first, third]);
    watch.push(
      { case: "keyringChange", value: { baseVersion, version: 9n, changed, removedIds: [] } },
      { case: "head", value: { kind: SnapshotKind.KEYRING, note } },
    );
    const again = await policy.watch(1);
    expect(again.request).toMatchObject({ snapshotVersion: 1n, keyringVersion: 0n });
    expect(snapshots.current()?.keyringVersion).toBe(1n);
    again.push(...keyringPieces(9n, [first, third]));
    await eventually(() => expect(snapshots.current()?.keyringVersion).toBe(9n));
    expect(policy.reports.map(({ phase }) => phase)).not.toContain(SnapshotPhase.REFUSED);
  });

  it("what is refused is reported with its reason, and what is held stays and can be followed", async () => {
    const policy = new Policy();
    const snapshots = start(policy);
    const watch = await policy.watch(0);
    watch.push(...snapshotPieces(1n), ...keyringPieces(1n, [first]));
    await snapshots.ready;
    const note = sampleNote({ kind: "snapshot", version: 2n, digest: new Uint8Array(32), features: ["later"] });
    watch.push(...snapshotPieces(2n).slice(0, -1), { case: "head", value: { kind: SnapshotKind.SNAPSHOT, note } });
    await eventually(() => expect(policy.phasesOf(SnapshotKind.SNAPSHOT, 2n)).toContain(SnapshotPhase.REFUSED));
    const refusal = policy.reports.find(({ phase }) => phase === SnapshotPhase.REFUSED);
    expect(refusal).toMatchObject({ runningVersion: 1n, reasons: [expect.stringMatching(/^FEATURE: .*"later"/)] });
    expect(snapshots.current()?.snapshotVersion).toBe(1n);
    watch.push(...snapshotPieces(3n));
    await eventually(() => expect(snapshots.current()?.snapshotVersion).toBe(3n));
  });

  it("a watch that is silent for 15 s is begun anew with what is held by then", async () => {
    const policy = new Policy();
    const clock = new ManualClock();
    const snapshots = start(policy, clock);
    const watch = await policy.watch(0);
    watch.push(...snapshotPieces(4n), ...keyringPieces(6n, [first]));
    await snapshots.ready;
    await clock.whenSleeping();
    clock.advance(14_999);
    watch.push({ case: "heartbeat", value: {} });
    await eventually(() => {
      clock.advance(1_000);
      expect(watch.isOver()).toBe(true);
    });
    const again = await eventually(() => {
      clock.advance(1_000);
      expect(policy.watches.length).toBeGreaterThan(1);
    }).then(() => policy.watches[1]!);
    expect(again.request).toMatchObject({ snapshotVersion: 4n, keyringVersion: 6n });
    expect(Buffer.from(again.request.snapshotDigest)).toHaveLength(32);
  });

  it("pages out of order begin the watch anew and change nothing", async () => {
    const policy = new Policy();
    const clock = new ManualClock();
    const snapshots = start(policy, clock);
    const watch = await policy.watch(0);
    const [one, two, ...rest] = snapshotPieces(1n, 20);
    watch.push(two!, one!, ...rest);
    await eventually(() => {
      clock.advance(500);
      expect(policy.watches.length).toBeGreaterThan(1);
    });
    policy.watches.at(-1)!.push(...snapshotPieces(1n, 20), ...keyringPieces(1n, [first]));
    await snapshots.ready;
    expect(snapshots.current()?.snapshotVersion).toBe(1n);
  });

  it("with policy away a restart runs from disk, and tells policy so when it is back", async () => {
    const before = new Policy();
    const snapshots = start(before);
    (await before.watch(0)).push(...snapshotPieces(5n), ...keyringPieces(7n, [first]));
    await snapshots.ready;
    await snapshots.close();

    const policy = new Policy();
    policy.isAway = true;
    const clock = new ManualClock();
    const restarted = start(policy, clock);
    await restarted.ready;
    expect(restarted.current()).toMatchObject({ snapshotVersion: 5n, keyringVersion: 7n });
    policy.isAway = false;
    await eventually(() => {
      clock.advance(1_000);
      expect(policy.phasesOf(SnapshotKind.SNAPSHOT, 5n)).toContain(SnapshotPhase.APPLIED);
      expect(policy.phasesOf(SnapshotKind.KEYRING, 7n)).toContain(SnapshotPhase.APPLIED);
    });
    expect(policy.watches.at(-1)?.request).toMatchObject({ snapshotVersion: 5n, keyringVersion: 7n });
  });

  it("a file that nobody has signed is no refusal of anything that policy sends", async () => {
    writeFileSync(join(directory, `snapshot-${"9".padStart(19, "0")}.weir`), "torn");
    const policy = new Policy();
    const counted = { inc: vi.fn() };
    start(policy, new ManualClock(), { weir_router_snapshot_refusals_total: counted as never });
    await eventually(() => expect(counted.inc).toHaveBeenCalledWith({ kind: "snapshot" }));
    (await policy.watch(0)).push(...snapshotPieces(5n), ...keyringPieces(7n, [first]));

    await eventually(() => {
      expect(policy.phasesOf(SnapshotKind.SNAPSHOT, 5n)).toContain(SnapshotPhase.APPLIED);
      expect(policy.phasesOf(SnapshotKind.KEYRING, 7n)).toContain(SnapshotPhase.APPLIED);
    });
    expect(policy.reports.filter(({ phase }) => phase === SnapshotPhase.REFUSED)).toEqual([]);
  });

  it("each heartbeat that names what is held confirms it, and a restart without policy knows when that was", async () => {
    const policy = new Policy();
    const clock = new ManualClock();
    const snapshots = start(policy, clock);
    const watch = await policy.watch(0);
    watch.push(...snapshotPieces(5n), ...keyringPieces(7n, [first]));
    await snapshots.ready;
    const startedMs = clock.nowMs();
    watch.push({ case: "heartbeat", value: { snapshotVersion: 5n, keyringVersion: 7n } });
    await eventually(() => expect(snapshots.getAgeMs("keyring")).toBe(0));
    clock.advance(7_000);
    watch.push({ case: "heartbeat", value: { snapshotVersion: 6n, keyringVersion: 7n } });
    await eventually(() => expect(snapshots.getAgeMs("keyring")).toBe(0));
    // The later heartbeat named another snapshot.
    expect(snapshots.getAgeMs("snapshot")).toBe(7_000);
    await snapshots.close();

    const away = new Policy();
    away.isAway = true;
    const restarted = start(away, new ManualClock(startedMs + 3_600_000));
    await restarted.ready;
    await eventually(() => expect(restarted.getAgeMs("keyring")).toBe(3_600_000 - 7_000));
  });

  it("a policy that is cut off from its database confirms what it read last as of then", async () => {
    const policy = new Policy();
    const clock = new ManualClock();
    const snapshots = start(policy, clock);
    const watch = await policy.watch(0);
    watch.push(...snapshotPieces(5n), ...keyringPieces(7n, [first]));
    await snapshots.ready;
    const readAge = { seconds: 90n, nanos: 0 };
    watch.push({ case: "heartbeat", value: { snapshotVersion: 5n, keyringVersion: 7n, readAge } });
    await eventually(() => expect(snapshots.getAgeMs("keyring")).toBe(90_000));
  });

  it("an empty keyring is a keyring: its head alone says that there are no keys", async () => {
    const policy = new Policy();
    const snapshots = start(policy);
    (await policy.watch(0)).push(...snapshotPieces(1n), ...keyringPieces(1n, []));
    await snapshots.ready;
    expect(snapshots.current()?.keyring.size).toBe(0);
  });
});
