/** One metric: what a scraper reads about it. The unit is the end of its name, as Prometheus has it. */
export interface MetricFacts {
  readonly type: "counter" | "gauge" | "histogram";
  /** Whose metric it is; `all` is every service's. */
  readonly by: "all" | "router" | "policy" | "metering" | "audit";
  readonly help: string;
  /** Labels have few values: never a key, a caller, a run or a text from outside. */
  readonly labels?: readonly string[];
  /** Upper bounds of a histogram's buckets, in the unit of its name. */
  readonly buckets?: readonly number[];
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Of `gen_ai.client.operation.duration` and `gen_ai.client.token.usage`, OpenTelemetry GenAI conventions. */
const OPERATION_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];
const GEN_AI = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"] as const;

/** Every metric of Weir beside those of the Node process, alphabetical. Names are for ever: dashboards stand on them. */
export const METRICS = {
  gen_ai_client_operation_duration_seconds: {
    type: "histogram",
    by: "router",
    help: "How long attempts at providers took, first byte sent to last byte read.",
    labels: [...GEN_AI, "error_type"],
    buckets: OPERATION_SECONDS,
  },
  gen_ai_client_token_usage: {
    type: "histogram",
    by: "router",
    help: "Tokens of calls as metered, cached ones included in input.",
    labels: [...GEN_AI, "gen_ai_token_type"],
    buckets: TOKENS,
  },
  gen_ai_server_request_duration_seconds: {
    type: "histogram",
    by: "router",
    help: "How long chats took as callers saw them.",
    labels: [...GEN_AI, "error_type"],
    buckets: OPERATION_SECONDS,
  },
  gen_ai_server_time_to_first_token_seconds: {
    type: "histogram",
    by: "router",
    help: "Time from a streamed chat's arrival to its first content byte.",
    labels: [...GEN_AI],
    buckets: OPERATION_SECONDS,
  },
  rpc_server_call_duration_seconds: {
    type: "histogram",
    by: "all",
    help: "How long RPCs took, by method and status code; streams until their end.",
    labels: ["rpc_method", "rpc_response_status_code"],
    buckets: SECONDS,
  },
  weir_audit_checkpoint_size: { type: "gauge", by: "audit", help: "Leaves covered by the newest signed checkpoint." },
  weir_audit_missing_records: {
    type: "gauge",
    by: "audit",
    help: "Records missing for over a minute while later ones of their producer are there.",
  },
  weir_audit_parked_records: { type: "gauge", by: "audit", help: "Records that wait for an operator." },
  weir_audit_records_total: {
    type: "counter",
    by: "audit",
    help: "Records taken in, by result: integrated, repeated or parked.",
    labels: ["result"],
  },
  weir_audit_tree_size: { type: "gauge", by: "audit", help: "Leaves in the log." },
  weir_bus_connected: {
    type: "gauge",
    by: "all",
    help: "Whether the bus is connected (1) or not (0).",
    labels: ["bus"],
  },
  weir_metering_events_total: {
    type: "counter",
    by: "metering",
    help: "Usage events taken in, by result: posted, repeated or parked.",
    labels: ["result"],
  },
  weir_metering_mismatches_total: {
    type: "counter",
    by: "metering",
    help: "Usage events that a router and metering rate differently.",
  },
  weir_metering_missing_events: {
    type: "gauge",
    by: "metering",
    help: "Usage events missing for over a minute while later ones of their producer are there.",
  },
  weir_metering_parked_events: { type: "gauge", by: "metering", help: "Usage events that wait for an operator." },
  weir_outbox_pending: {
    type: "gauge",
    by: "policy",
    help: "Records in the outbox that audit has not committed yet; counting ends at 10000.",
  },
  weir_policy_published_version: {
    type: "gauge",
    by: "policy",
    help: "Newest version, by region and kind: snapshot or keyring.",
    labels: ["region", "kind"],
  },
  weir_policy_watchers: { type: "gauge", by: "policy", help: "Instances that watch, by region.", labels: ["region"] },
  weir_certificate_left_seconds: {
    type: "gauge",
    by: "all",
    help: "Seconds until the certificate of this process ends; absent without TLS.",
    labels: ["certificate"],
  },
  weir_operators_refused: {
    type: "gauge",
    by: "all",
    help: "Whether the operators' document as it stands is refused, so that an older one is in force (1), or not (0).",
  },
  weir_ready: { type: "gauge", by: "all", help: "Whether the service says it is ready (1) or not (0)." },
  weir_router_attempts_total: {
    type: "counter",
    by: "router",
    help: "Calls to providers, by target and outcome.",
    labels: ["target", "outcome"],
  },
  weir_router_body_memory_bytes: { type: "gauge", by: "router", help: "Memory that request bodies hold now." },
  weir_router_chats_open: { type: "gauge", by: "router", help: "Chats that began and have no outcome yet." },
  weir_router_chats_total: { type: "counter", by: "router", help: "Chats by outcome.", labels: ["outcome"] },
  weir_router_config_age_seconds: {
    type: "gauge",
    by: "router",
    help: "Seconds since policy confirmed that what is held is the newest, by kind: snapshot or keyring. Rises while policy is away.",
    labels: ["kind"],
  },
  weir_router_counts_total: {
    type: "counter",
    by: "router",
    help: "Counts of tokens that a provider did not tell, by result: counted, or estimated from bytes since the count was late or refused.",
    labels: ["result"],
  },
  weir_router_credentials: {
    type: "gauge",
    by: "router",
    help: "Credentials of providers that policy sent, by state: used, or refused because the version that was sent does not open.",
    labels: ["state"],
  },
  weir_router_ejections_total: {
    type: "counter",
    by: "router",
    help: "Times that targets were ejected, or left alone at their provider's word, by target and by what brought it about.",
    labels: ["target", "cause"],
  },
  weir_router_overhead_seconds: {
    type: "histogram",
    by: "router",
    help: "Time that the router itself takes for a chat, from the last byte of its request until the first provider is asked.",
    buckets: [
      0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075,
      0.1, 0.15, 0.25, 0.5, 1,
    ],
  },
  weir_router_provider_connections: {
    type: "gauge",
    by: "router",
    help: "Connections to providers, by state: busy or free.",
    labels: ["state"],
  },
  weir_router_refusals_total: {
    type: "counter",
    by: "router",
    help: "Requests refused before a chat began, by reason.",
    labels: ["reason"],
  },
  weir_router_rule_failures_total: {
    type: "counter",
    by: "router",
    help: "Conditions of rules that had no answer for a call: the rule counted as matched, unless it allows or ranks.",
  },
  weir_router_snapshot_refusals_total: {
    type: "counter",
    by: "router",
    help: "Snapshots, keyrings and sets of credentials refused, by kind.",
    labels: ["kind"],
  },
  weir_router_snapshot_version: {
    type: "gauge",
    by: "router",
    help: "Version in force, by kind: snapshot, keyring or credentials.",
    labels: ["kind"],
  },
  weir_router_targets_ejected: {
    type: "gauge",
    by: "router",
    help: "Targets that calls do not ask now (1), or again (0), by target; one that was never ejected has no line.",
    labels: ["target"],
  },
  weir_router_spool_bytes: { type: "gauge", by: "router", help: "Size of the spool on disk." },
  weir_router_spool_facts: {
    type: "gauge",
    by: "router",
    help: "Facts in the spool that their owner has not committed, by kind: usage or record.",
    labels: ["kind"],
  },
  weir_router_spool_write_seconds: {
    type: "histogram",
    by: "router",
    help: "How long writes into the spool took.",
    buckets: [0.000001, 0.000005, 0.00001, 0.0001, 0.001, 0.01, 0.1, 1],
  },
} as const satisfies Readonly<Record<string, MetricFacts>>;
