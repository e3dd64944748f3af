import { describe, expect, it } from "vitest";
import { METRICS, type MetricFacts } from "./metric-names.ts";
import { createMetrics } from "./metrics.ts";

describe("createMetrics()", () => {
  it("shows a service's own metrics and everybody's, and no other", async () => {
    const metrics = createMetrics("router", { process: false });
    metrics.weir_router_refusals_total.inc({ reason: "KEY_MISSING" });
    metrics.weir_ready.set(1);

    const page = await metrics.page();

    expect(page).toContain('weir_router_refusals_total{reason="KEY_MISSING"} 1');
    expect(page).toContain("weir_ready 1");
    expect(page).not.toContain("weir_audit_tree_size");
  });

  it("shows the Node process too", async () => {
    const metrics = createMetrics("audit");

    const page = await metrics.page();
    metrics.close();

    expect(page).toContain("process_cpu_user_seconds_total");
    expect(metrics.contentType).toContain("version=0.0.4");
  });
});

describe("METRICS", () => {
  const entries = Object.entries(METRICS) as [string, MetricFacts][];

  it.each(entries)("%s keeps to the rules of Prometheus for its type", (name, facts) => {
    expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
    expect(name.endsWith("_total")).toBe(facts.type === "counter");
    expect(facts.help).toMatch(/\.$/);
  });
});
