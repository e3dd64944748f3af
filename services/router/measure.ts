import { Meter, OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import type { ChatObserver } from "./chat.ts";
import type { AttemptResult } from "./dispatch/result.ts";
import type { FailureLog } from "./failure-log.ts";

/** Outcomes as label values. */
const OUTCOMES: Readonly<Record<number, string>> = {
  [OutcomeKind.ANSWERED]: "answered",
  [OutcomeKind.DENIED]: "denied",
  [OutcomeKind.FAILED]: "failed",
  [OutcomeKind.CUT]: "cut",
  [OutcomeKind.CANCELLED]: "cancelled",
  [OutcomeKind.ABANDONED]: "abandoned",
};

/** Measures chats, and notes what failed. What a caller wrote is no label: only models and targets of the policy are. */
export function createObserver(metrics: Metrics, failures: FailureLog): ChatObserver {
  return {
    onRefusal: (reason) => metrics.weir_router_refusals_total.inc({ reason }),
    onOutcome: (call, { kind, reason, attempts }, endedAtMs) => {
      failures.note(call.eventId, attempts);
      metrics.weir_router_chats_total.inc({ outcome: nameOf(kind) });
      const last = attempts.at(-1);
      const labels = {
        gen_ai_operation_name: "chat",
        gen_ai_provider_name: last?.target.provider ?? "none",
        gen_ai_request_model: call.model,
      };
      metrics.gen_ai_server_request_duration_seconds.observe(
        { ...labels, error_type: reason ?? "" },
        Math.max(0, endedAtMs - call.arrivedAtMs) / 1000,
      );
      const first = attempts[0];
      if (first !== undefined) {
        metrics.weir_router_overhead_seconds.observe(Math.max(0, first.startedAtMs - call.arrivedAtMs) / 1000);
      }
      if (call.streamed && last?.firstContentAtMs !== undefined) {
        metrics.gen_ai_server_time_to_first_token_seconds.observe(
          labels,
          Math.max(0, last.firstContentAtMs - call.arrivedAtMs) / 1000,
        );
      }
      for (const attempt of attempts) measureAttempt(metrics, call.model, attempt);
    },
  };
}

function measureAttempt(metrics: Metrics, model: string, attempt: AttemptResult): void {
  const { target, outcome, startedAtMs, endedAtMs, reason, usage } = attempt;
  metrics.weir_router_attempts_total.inc({ target: target.id, outcome: nameOf(outcome) });
  const labels = { gen_ai_operation_name: "chat", gen_ai_provider_name: target.provider, gen_ai_request_model: model };
  metrics.gen_ai_client_operation_duration_seconds.observe(
    { ...labels, error_type: reason ?? "" },
    Math.max(0, endedAtMs - startedAtMs) / 1000,
  );
  if (usage === undefined || usage.quantities.size === 0) return;
  const count = (...meters: Meter[]) =>
    meters.reduce<number>((sum, meter) => sum + (usage.quantities.get(meter) ?? 0), 0);
  metrics.gen_ai_client_token_usage.observe(
    { ...labels, gen_ai_token_type: "input" },
    count(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.CACHE_WRITE_TOKENS),
  );
  metrics.gen_ai_client_token_usage.observe(
    { ...labels, gen_ai_token_type: "output" },
    count(Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS),
  );
}

function nameOf(kind: OutcomeKind): string {
  return OUTCOMES[kind] ?? "unknown";
}
