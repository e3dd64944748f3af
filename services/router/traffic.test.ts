import { afterEach, describe, expect, it } from "vitest";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { createTrafficReader } from "./traffic.ts";

const metrics = createMetrics("router");
afterEach(() => metrics.close());

describe("createTrafficReader()", () => {
  it("counts what the metrics have counted: failures, denials by the policy, and nothing that the caller alone has caused", () => {
    const read = createTrafficReader(metrics);
    expect(read()).toMatchObject({ calls: 0, failures: 0, denials: 0 });

    metrics.weir_router_chats_total.inc({ outcome: "answered" }, 10);
    metrics.weir_router_chats_total.inc({ outcome: "failed" }, 2);
    metrics.weir_router_chats_total.inc({ outcome: "cut" }, 1);
    metrics.weir_router_chats_total.inc({ outcome: "denied" }, 1);
    metrics.weir_router_refusals_total.inc({ reason: "MODEL_UNKNOWN" }, 3);
    metrics.weir_router_refusals_total.inc({ reason: "KEY_UNKNOWN" }, 50);
    metrics.weir_router_refusals_total.inc({ reason: "BODY_MALFORMED" }, 50);

    expect(read()).toMatchObject({ calls: 17, failures: 3, denials: 4 });
  });

  it("tells how many calls took the router how long, in buckets that rise and have no gap", () => {
    const read = createTrafficReader(metrics);
    const { overhead: before } = read();
    for (const seconds of [0.0002, 0.0002, 0.012, 2]) metrics.weir_router_overhead_seconds.observe(seconds);

    const { overhead } = read();

    const told = overhead.filter(({ calls }) => calls > 0n).map(({ atMost, calls }) => [atMost?.nanos, calls]);
    expect(told).toEqual([
      [250_000, 2n],
      [15_000_000, 1n],
      [undefined, 1n],
    ]);
    expect(overhead.map(({ atMost }) => atMost)).toEqual(before.map(({ atMost }) => atMost));
    expect(overhead.findIndex(({ atMost }) => atMost === undefined)).toBe(overhead.length - 1);
  });
});
