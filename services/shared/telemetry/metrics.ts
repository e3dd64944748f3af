import { collectDefaultMetrics, Gauge, type Metric, Registry } from "prom-client";
import { METRICS, type MetricFacts } from "./metric-names.ts";
import { Counter, Histogram } from "./tally.ts";

type LabelsOf<M> = M extends { labels: readonly (infer L extends string)[] } ? L : never;

/** The metrics of a process: each by its name on the list, and the page that a scraper reads. */
export type Metrics = {
  readonly [Name in keyof typeof METRICS]: (typeof METRICS)[Name] extends { type: "counter" }
    ? Counter<LabelsOf<(typeof METRICS)[Name]>>
    : (typeof METRICS)[Name] extends { type: "gauge" }
      ? Gauge<LabelsOf<(typeof METRICS)[Name]>>
      : Histogram<LabelsOf<(typeof METRICS)[Name]>>;
} & {
  /** The page in the Prometheus text format. */
  readonly page: () => Promise<string>;
  /** Calls `measure` before each page: for gauges whose value is to be had at any time, so that nothing is set in between. */
  readonly onPage: (measure: () => void) => void;
  /** The `content-type` of that page. */
  readonly contentType: string;
  /** Lets go of what observes the process. */
  readonly close: () => void;
};

/**
 * Creates the metrics of a service: the page shows its own and those of all services, and of the Node process when
 * `process` is true (the default; one per process). Another service's metric can be set but is not shown.
 */
export function createMetrics(
  service: Exclude<MetricFacts["by"], "all">,
  options: { readonly process?: boolean } = {},
): Metrics {
  const registry = new Registry();
  const measures: (() => void)[] = [];
  const metrics: Record<string, unknown> = {
    page: () => {
      for (const measure of measures) measure();
      return registry.metrics();
    },
    onPage: (measure: () => void) => void measures.push(measure),
    contentType: registry.contentType,
    close: () => registry.clear(),
  };
  for (const [name, facts] of Object.entries(METRICS) as [string, MetricFacts][]) {
    metrics[name] = createMetric(name, facts, facts.by === "all" || facts.by === service ? [registry] : []);
  }
  if (options.process !== false) {
    // Looks at the event loop's delay 20 times a second: the default of 100 is most of what an idle process would do.
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50 });
  }
  return metrics as Metrics;
}

function createMetric(name: string, facts: MetricFacts, registers: Registry[]) {
  const common = { name, help: facts.help, labelNames: [...(facts.labels ?? [])] };
  if (facts.type === "gauge") return new Gauge({ ...common, registers });
  const metric =
    facts.type === "counter" ? new Counter(common) : new Histogram({ ...common, buckets: facts.buckets ?? [] });
  // Of a metric the registry asks for name, help, type and `get` alone.
  for (const registry of registers) registry.registerMetric(metric as unknown as Metric);
  return metric;
}
