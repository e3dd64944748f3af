import { afterEach, describe, expect, it } from "vitest";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { createTrafficReader } from "./traffic.ts";

const metrics = createMetrics("router");
afterEach(() => metrics.close());

describe("createTrafficReader()", () => {
  it("counts what the metrics have counted: failures, denials by the policy, and nothing that the caller alone has caused", () => {
    const read = createTrafficReader(metrics);
    expect(read()).toEqual({ calls: 0, failures: 0, denials: 0 });

    metrics.weir_router_chats_total.inc({ outcome: "answered" }, 10);
    metrics.weir_router_chats_total.inc({ outcome: "failed" }, 2);
    metrics.weir_router_chats_total.inc({ outcome: "cut" }, 1);
    metrics.weir_router_chats_total.inc({ outcome: "denied" }, 1);
    metrics.weir_router_refusals_total.inc({ reason: "MODEL_UNKNOWN" }, 3);
    metrics.weir_router_refusals_total.inc({ reason: "KEY_UNKNOWN" }, 50);
    metrics.weir_router_refusals_total.inc({ reason: "BODY_MALFORMED" }, 50);

    expect(read()).toEqual({ calls: 17, failures: 3, denials: 4 });
  });
});
