import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { describe, expect, it, vi } from "vitest";
import {
  OverheadBucketSchema,
  type ReportTrafficRequest,
  type SnapshotService,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { ManualClock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import { SnapshotHold } from "./hold.ts";
import { SAMPLE_TRUST, sampleSnapshot } from "./snapshots.fixture.ts";
import { reportTraffic } from "./traffic.ts";

const UP_TO_2_MS = create(OverheadBucketSchema, { atMost: { nanos: 2_000_000 } });

describe("reportTraffic()", () => {
  it("tells what was done since the last swap, and goes on after policy was away", async () => {
    const clock = new ManualClock();
    const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
    const ending = new AbortController();
    const told: ReportTrafficRequest[] = [];
    let isAway = false;
    const client = {
      reportTraffic: async (request: ReportTrafficRequest) => {
        if (isAway) throw new Error("away");
        told.push(request);
        return {};
      },
    } as never as Client<typeof SnapshotService>;
    let calls = 100;
    const reporting = reportTraffic({
      client,
      hold,
      name: { region: "eu", instance: "eu-1", boot: "life-1", build: "0.1.0" },
      readTraffic: () => ({ calls, failures: 1, denials: 2, overhead: [{ ...UP_TO_2_MS, calls: BigInt(calls) }] }),
      clock,
      log: createLog({ service: "test", level: "silent" }),
      signal: ending.signal,
    });
    const { note, content } = sampleSnapshot(4n);
    hold.offerSnapshot(note, content);

    calls = 107;
    isAway = true;
    await clock.whenSleeping();
    clock.advance(2_000);
    await clock.whenSleeping();
    isAway = false;
    clock.advance(2_000);

    await vi.waitFor(() =>
      expect(told).toMatchObject([
        { snapshotVersion: 4n, calls: 7n, failures: 0n, denials: 0n, overhead: [{ ...UP_TO_2_MS, calls: 7n }] },
      ]),
    );
    // In the first moment after a swap, a standstill would weigh too much.
    await clock.whenSleeping();
    clock.advance(1_900);
    const next = sampleSnapshot(5n);
    hold.offerSnapshot(next.note, next.content);
    calls = 110;
    clock.advance(100);
    await vi.waitFor(() => expect(told.at(-1)).toMatchObject({ snapshotVersion: 5n, calls: 3n, overhead: [] }));
    ending.abort();
    await reporting;
  });
});
