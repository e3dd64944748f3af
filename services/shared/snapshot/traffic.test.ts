import type { Client } from "@connectrpc/connect";
import { describe, expect, it, vi } from "vitest";
import type { ReportTrafficRequest, SnapshotService } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { ManualClock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import { SnapshotHold } from "./hold.ts";
import { SAMPLE_TRUST, sampleSnapshot } from "./snapshots.fixture.ts";
import { reportTraffic } from "./traffic.ts";

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
      readTraffic: () => ({ calls, failures: 1, denials: 2 }),
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

    await vi.waitFor(() => expect(told).toMatchObject([{ snapshotVersion: 4n, calls: 7n, failures: 0n, denials: 0n }]));
    ending.abort();
    await reporting;
  });
});
