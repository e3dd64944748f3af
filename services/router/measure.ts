import { OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import type { ChatObserver } from "./chat.ts";
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
      for (const { target, outcome } of attempts) {
        metrics.weir_router_attempts_total.inc({ target: target.id, outcome: nameOf(outcome) });
      }
    },
  };
}

function nameOf(kind: OutcomeKind): string {
  return OUTCOMES[kind] ?? "unknown";
}
