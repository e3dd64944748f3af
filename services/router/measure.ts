import { Meter, Operation, OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import { TallyMap } from "../shared/telemetry/tally.ts";
import type { ChatObserver } from "./chat.ts";
import type { AttemptResult, MeasuredUsage } from "./dispatch/result.ts";
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
  const chats = new TallyMap((outcome: OutcomeKind) =>
    metrics.weir_router_chats_total.labels({ outcome: nameOf(outcome) }),
  );
  const overhead = metrics.weir_router_overhead_seconds.labels({});
  const targets = new TallyMap((target: string) => createTargetTallies(metrics, target));
  // Models are those of policies, since what a chat began with is one; so there are few.
  const models = createModelTallies(metrics, "chat");
  const embeddingModels = createModelTallies(metrics, "embeddings");
  return {
    onRefusal: (reason) => metrics.weir_router_refusals_total.inc({ reason }),
    onRulesFailed: (rules) => metrics.weir_router_rule_failures_total.inc(rules.length),
    onAsked: ({ receivedMonotonicMs }, askedMonotonicMs) =>
      overhead.observe((askedMonotonicMs - receivedMonotonicMs) / 1000),
    onOutcome: (call, { kind, reason, attempts }, endedAtMs) => {
      const { arrivedAtMs } = call;
      failures.note(call.eventId, attempts);
      chats.get(kind).inc();
      const providers = (call.operation === Operation.EMBEDDING ? embeddingModels : models).get(call.model);
      const last = attempts.at(-1);
      const answering = providers.get(last === undefined ? "none" : last.target.provider);
      answering.chatSeconds.get(reason ?? "").observe((endedAtMs - arrivedAtMs) / 1000);
      if (call.streamed && last?.firstContentAtMs !== undefined) {
        answering.firstTokenSeconds.get("").observe((last.firstContentAtMs - arrivedAtMs) / 1000);
      }
      for (const attempt of attempts) {
        // A target that was passed over was not called.
        if (attempt.isSkipped === true) continue;
        targets.get(attempt.target.id).get(attempt.outcome).inc();
        measureAttempt(providers.get(attempt.target.provider), attempt);
      }
    },
  };
}

function createTargetTallies({ weir_router_attempts_total: attempts }: Metrics, target: string) {
  return new TallyMap((outcome: OutcomeKind) => attempts.labels({ target, outcome: nameOf(outcome) }));
}

/** `operation` is a name of the OpenTelemetry GenAI conventions. */
function createModelTallies(metrics: Metrics, operation: "chat" | "embeddings") {
  return new TallyMap(
    (model: string) => new TallyMap((provider: string) => createProviderTallies(metrics, operation, provider, model)),
  );
}

type ProviderTallies = ReturnType<typeof createProviderTallies>;

/** What is measured of a provider and a model. Each has a line on the page from its first chat. */
function createProviderTallies(metrics: Metrics, operation: string, provider: string, model: string) {
  const labels = { gen_ai_operation_name: operation, gen_ai_provider_name: provider, gen_ai_request_model: model };
  return {
    /** By the reason of the failure; empty when there was none. */
    chatSeconds: new TallyMap((reason: string) =>
      metrics.gen_ai_server_request_duration_seconds.labels({ ...labels, error_type: reason }),
    ),
    attemptSeconds: new TallyMap((reason: string) =>
      metrics.gen_ai_client_operation_duration_seconds.labels({ ...labels, error_type: reason }),
    ),
    firstTokenSeconds: new TallyMap((_: "") => metrics.gen_ai_server_time_to_first_token_seconds.labels(labels)),
    tokens: new TallyMap((type: "input" | "output") =>
      metrics.gen_ai_client_token_usage.labels({ ...labels, gen_ai_token_type: type }),
    ),
  };
}

function measureAttempt(tallies: ProviderTallies, { startedAtMs, endedAtMs, reason, usage }: AttemptResult): void {
  tallies.attemptSeconds.get(reason ?? "").observe((endedAtMs - startedAtMs) / 1000);
  if (usage === undefined || usage.quantities.size === 0) return;
  tallies.tokens.get("input").observe(countInput(usage));
  tallies.tokens.get("output").observe(countOutput(usage));
}

function countInput({ quantities }: MeasuredUsage): number {
  return (
    (quantities.get(Meter.INPUT_TOKENS) ?? 0) +
    (quantities.get(Meter.CACHED_INPUT_TOKENS) ?? 0) +
    (quantities.get(Meter.CACHE_WRITE_TOKENS) ?? 0)
  );
}

function countOutput({ quantities }: MeasuredUsage): number {
  return (quantities.get(Meter.OUTPUT_TOKENS) ?? 0) + (quantities.get(Meter.REASONING_TOKENS) ?? 0);
}

function nameOf(kind: OutcomeKind): string {
  return OUTCOMES[kind] ?? "unknown";
}
