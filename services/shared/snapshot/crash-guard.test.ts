import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LimitPer } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ManualClock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import { CrashGuard, TRIAL_MS } from "./crash-guard.ts";
import type { SnapshotHead } from "./head.ts";
import { SnapshotHold } from "./hold.ts";
import { SAMPLE_TRUST, sampleSnapshot } from "./snapshots.fixture.ts";

const log = createLog({ service: "test", level: "silent" });
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-guard-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const head = (version: bigint): SnapshotHead => ({
  kind: "snapshot",
  region: "eu",
  version,
  digest: new Uint8Array(32).fill(Number(version)),
  features: [],
  issuedAt: new Date(0),
});

/** One life: runs a snapshot for a while and then goes on or meets an exception that nobody catches. */
function live(version: bigint, end: "orderly" | "crash", forMs = 1_000): void {
  const clock = new ManualClock();
  const guard = new CrashGuard({ directory, clock, log });
  const [onCrash] = process.listeners("uncaughtExceptionMonitor");
  guard.watch(head(version));
  clock.advance(forMs);
  if (end === "crash") onCrash?.(new Error("crash"), "uncaughtException");
  guard.close();
}

function isBarred(version: bigint): boolean {
  const guard = new CrashGuard({ directory, clock: new ManualClock(), log });
  guard.close();
  return guard.isBarred(head(version));
}

describe("crash guard", () => {
  it("a snapshot that crashed two lives in a row is barred, one crash may be chance, and others are not touched", () => {
    live(5n, "crash");
    expect(isBarred(5n)).toBe(false);
    live(5n, "crash");
    expect(isBarred(5n)).toBe(true);
    expect(isBarred(4n)).toBe(false);
    expect(isBarred(6n)).toBe(false);
  });

  it("another snapshot of the same version is not the one that crashed", () => {
    live(5n, "crash");
    live(5n, "crash", TRIAL_MS);
    const guard = new CrashGuard({ directory, clock: new ManualClock(), log });
    guard.close();
    expect(guard.countCrashes(head(5n))).toBe(2);
    expect(guard.countCrashes({ ...head(5n), digest: new Uint8Array(32) })).toBe(0);
  });

  it("a crash while a snapshot is applied is that one's, and not the fault of the one on trial before it", () => {
    const guard = new CrashGuard({ directory, clock: new ManualClock(), log });
    const [onCrash] = process.listeners("uncaughtExceptionMonitor");
    guard.watch(head(5n));
    guard.beginApplying(head(6n));
    onCrash?.(new Error("crash"), "uncaughtException");

    const successor = new CrashGuard({ directory, clock: new ManualClock(), log });
    expect([5n, 6n].map((version) => successor.countCrashes(head(version)))).toEqual([0, 1]);
    successor.close();
    guard.close();
  });

  it("an orderly end, and a crash long after the swap, say nothing about the snapshot", () => {
    for (let count = 0; count < 3; count++) {
      live(5n, "orderly");
      live(5n, "crash", TRIAL_MS + 1);
    }
    expect(isBarred(5n)).toBe(false);
    expect(existsSync(join(directory, "crashes.json"))).toBe(false);
  });

  it("a life that ends in any way while it applies a snapshot was crashed by it, and one that came through was not", () => {
    const apply = (version: bigint): CrashGuard => {
      const guard = new CrashGuard({ directory, clock: new ManualClock(), log });
      guard.beginApplying(head(version));
      return guard;
    };
    // Nothing more is heard of these two, as of one that was killed.
    apply(5n);
    expect(isBarred(5n)).toBe(false);
    apply(5n);
    expect(isBarred(5n)).toBe(true);

    const survivor = new CrashGuard({ directory, clock: new ManualClock(), log });
    survivor.beginApplying(head(6n))();
    survivor.close();
    apply(7n).close();

    expect([5n, 6n, 7n].map((version) => survivor.countCrashes(head(version)))).toEqual([2, 0, 0]);
    expect(isBarred(5n)).toBe(true);
  });

  it("stands on disk while a snapshot is read, tried and swapped in, and is gone afterwards, also when it is refused", () => {
    const file = join(directory, "crashes.json");
    const guard = new CrashGuard({ directory, clock: new ManualClock(), log });
    const seen: boolean[] = [];
    const hold = new SnapshotHold({
      trust: SAMPLE_TRUST,
      region: "eu",
      beginApplying: (applied) => guard.beginApplying(applied),
    });
    hold.onChange(() => seen.push(existsSync(file)));
    const limit = { id: "twice", per: LimitPer.KEY, requestsPerMinute: 1 };
    const [good, bad] = [sampleSnapshot(1n), sampleSnapshot(2n, { limits: [limit, limit] })];

    hold.offerSnapshot(good.note, good.content);
    seen.push(existsSync(file));
    const verdict = hold.offerSnapshot(bad.note, bad.content);
    seen.push(existsSync(file));
    guard.close();

    expect(verdict).toMatchObject({ verdict: "refused", stage: "TABLES" });
    expect(seen).toEqual([true, false, false]);
  });

  it("a broken memory is none", () => {
    for (const text of ["", "{}", "null", '{"version":5,"digest":1,"count":9}']) {
      writeFileSync(join(directory, "crashes.json"), text);
      expect(isBarred(5n)).toBe(false);
    }
  });

  it("a barred snapshot is refused by the hold, and a newer one is taken", () => {
    const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu", isBarred: ({ version }) => version === 2n });
    const [older, barred, newer] = [1n, 2n, 3n].map((version) => sampleSnapshot(version));
    hold.offerSnapshot(older!.note, older!.content);
    expect(hold.offerSnapshot(barred!.note, barred!.content)).toMatchObject({ verdict: "refused", stage: "CRASHED" });
    expect(hold.heldSnapshot()?.head.version).toBe(1n);
    expect(hold.offerSnapshot(newer!.note, newer!.content).verdict).toBe("applied");
  });
});
