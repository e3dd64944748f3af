import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SnapshotTargetSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter, OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import { ManualClock } from "../shared/clock.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import type { ChatCall } from "./arrival/call.ts";
import { FailureLog } from "./failure-log.ts";
import { createObserver } from "./measure.ts";

const log = createLog({ service: "test", level: "silent" });
const target = create(SnapshotTargetSchema, { id: "p/small", provider: "p" });

describe("createObserver()", () => {
  it("measures a chat by outcome, target, provider and model, and by nothing that a caller wrote", async () => {
    const metrics = createMetrics("router", { process: false });
    const observer = createObserver(metrics, new FailureLog(log, new ManualClock()));
    const call = {
      eventId: "e",
      model: "small",
      streamed: true,
      arrivedAtMs: 1_000,
      receivedMonotonicMs: 7,
      endUser: "reader-7",
    } as ChatCall;
    const usage = {
      source: UsageSource.PROVIDER,
      quantities: new Map<Meter, number>([
        [Meter.INPUT_TOKENS, 10],
        [Meter.CACHED_INPUT_TOKENS, 5],
        [Meter.OUTPUT_TOKENS, 3],
      ]),
    };
    const attempt = {
      target,
      startedAtMs: 1_100,
      firstContentAtMs: 1_300,
      endedAtMs: 1_600,
      outcome: OutcomeKind.ANSWERED,
      providerStatus: 200,
      usage,
    };

    const skipped = { ...attempt, outcome: OutcomeKind.FAILED, reason: "TARGET_EJECTED", isSkipped: true } as const;
    const attempts = [{ ...skipped, usage: { ...usage, quantities: new Map() } }, attempt];

    observer.onAsked(call, 107);
    observer.onOutcome(call, { kind: OutcomeKind.ANSWERED, attempts, head: { eventId: "e" } }, 2_000);
    observer.onRefusal("KEY_UNKNOWN");

    const page = await metrics.page();
    const labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="p",gen_ai_request_model="small"';
    for (const line of [
      'weir_router_chats_total{outcome="answered"} 1',
      'weir_router_attempts_total{target="p/small",outcome="answered"} 1',
      'weir_router_refusals_total{reason="KEY_UNKNOWN"} 1',
      `gen_ai_server_request_duration_seconds_sum{${labels},error_type=""} 1`,
      `gen_ai_server_time_to_first_token_seconds_sum{${labels}} 0.3`,
      `gen_ai_client_operation_duration_seconds_sum{${labels},error_type=""} 0.5`,
      `gen_ai_client_token_usage_sum{${labels},gen_ai_token_type="input"} 15`,
      `gen_ai_client_token_usage_sum{${labels},gen_ai_token_type="output"} 3`,
      "weir_router_overhead_seconds_sum 0.1",
    ]) {
      expect(page).toContain(line);
    }
    expect(page).not.toContain("reader-7");
    // Who was passed over was not called.
    expect(page).not.toContain('outcome="failed"');
  });
});
