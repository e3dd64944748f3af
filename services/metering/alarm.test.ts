import { describe, expect, it } from "vitest";
import { createUsage } from "../../test/usages.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { createAlarm } from "./alarm.ts";
import { rateUsage } from "./rating/rate.ts";
import type { ParkedFact } from "./store/parked.ts";

function listen() {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ service: "test", destination: { write: (line) => void lines.push(JSON.parse(line)) } });
  const metrics = createMetrics("metering", { process: false });
  return { lines, metrics, alarm: createAlarm({ log, metrics }) };
}

const parked: ParkedFact = {
  why: { kind: "INVALID", detail: 'team "secret plans" is no id' },
  fact: Uint8Array.of(1),
  region: "eu",
  position: { region: "eu", producer: "eu-1", boot: "b", seq: 9_007_199_254_740_993n },
};

describe("createAlarm()", () => {
  it("says nothing of what was posted, but counts it", async () => {
    const { lines, metrics, alarm } = listen();

    alarm({ posted: [rateUsage(createUsage())], repeated: 2, parked: [] });

    expect(lines).toEqual([]);
    const page = await metrics.page();
    expect(page).toContain('weir_metering_events_total{result="posted"} 1');
    expect(page).toContain('weir_metering_events_total{result="repeated"} 2');
  });

  it("raises metric and log for a parked fact, with its place and without its words", async () => {
    const { lines, metrics, alarm } = listen();

    alarm({ posted: [], repeated: 0, parked: [parked] });

    expect(lines).toMatchObject([{ level: "error", kind: "INVALID", producer: "eu-1", seq: "9007199254740993" }]);
    expect(JSON.stringify(lines)).not.toContain("secret plans");
    expect(await metrics.page()).toContain("weir_metering_parked_events 1");
  });

  it("raises metric and log when a router rates differently, with both numbers", async () => {
    const { lines, metrics, alarm } = listen();

    alarm({ posted: [rateUsage(createUsage({ errorNanos: 1n }))], repeated: 0, parked: [] });

    expect(lines).toMatchObject([{ level: "error", cost_nanos: "7500000", said_nanos: "7500002" }]);
    expect(await metrics.page()).toContain("weir_metering_mismatches_total 1");
  });
});
