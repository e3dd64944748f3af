import { Counter as PromCounter, Histogram as PromHistogram, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { Counter, Histogram } from "./tally.ts";

const facts = { help: "Of a test.", labelNames: ["kind", "target"] };
const buckets = [0.01, 0.1, 1];

async function print(metric: object): Promise<string> {
  const registry = new Registry();
  registry.registerMetric(metric as PromCounter);
  return registry.metrics();
}

describe("Counter", () => {
  it("prints what prom-client's counter prints", async () => {
    const ours = new Counter({ ...facts, name: "a_total" });
    const theirs = new PromCounter({ ...facts, name: "a_total", registers: [] });

    for (const counter of [ours, theirs as unknown as Counter]) {
      counter.inc({ kind: "x", target: 'a "quoted"\nname' });
      counter.inc({ kind: "y", target: "b" }, 3);
      counter.inc({ kind: "y", target: "b" }, 0);
    }

    expect(await print(ours)).toBe(await print(theirs));
  });

  it("is there from the beginning when it has no labels", async () => {
    const ours = new Counter({ help: "Of a test.", labelNames: [], name: "a_total" });
    const theirs = new PromCounter({ help: "Of a test.", name: "a_total", registers: [] });

    expect(await print(ours)).toBe(await print(theirs));
  });

  it("counts what a tally of it counted", async () => {
    const counter = new Counter({ ...facts, name: "a_total" });
    const tally = counter.labels({ kind: "x", target: "a" });

    tally.inc();
    counter.inc({ target: "a", kind: "x" }, 2);

    expect(tally.value).toBe(3);
  });

  it("refuses to fall, and a label that it does not have", () => {
    const counter = new Counter({ ...facts, name: "a_total" });

    expect(() => counter.inc({ kind: "x" }, -1)).toThrow(RangeError);
    expect(() => counter.inc({ caller: "x" })).toThrow(RangeError);
  });

  it("counts combinations beyond its bound as one", () => {
    const counter = new Counter({ ...facts, name: "a_total" });
    for (let target = 0; target < 10_000; target++) counter.inc({ kind: "x", target: String(target) });

    counter.inc({ kind: "x", target: "one too many" });
    counter.inc({ kind: "y", target: "two too many" });

    expect(counter.labels({ kind: "other", target: "other" }).value).toBe(2);
    expect(counter.labels({ kind: "x", target: "7" }).value).toBe(1);
  });
});

describe("Histogram", () => {
  it("prints what prom-client's histogram prints", async () => {
    const ours = new Histogram({ ...facts, name: "a_seconds", buckets });
    const theirs = new PromHistogram({ ...facts, name: "a_seconds", buckets: [...buckets], registers: [] });

    for (const histogram of [ours, theirs as unknown as Histogram]) {
      for (const value of [0, 0.01, 0.010001, 0.5, 1, 7]) histogram.observe({ kind: "x", target: "a" }, value);
      histogram.observe({ kind: "", target: "b" }, 0.25);
    }

    expect(await print(ours)).toBe(await print(theirs));
  });

  it("is there from the beginning when it has no labels", async () => {
    const ours = new Histogram({ help: "Of a test.", labelNames: [], name: "a_seconds", buckets });
    const theirs = new PromHistogram({ help: "Of a test.", name: "a_seconds", buckets: [...buckets], registers: [] });
    const before = [await print(ours), await print(theirs)];

    ours.observe(0.5);
    theirs.observe(0.5);

    expect(before[0]).toBe(before[1]);
    expect(await print(ours)).toBe(await print(theirs));
  });

  it("refuses what is no number", () => {
    const histogram = new Histogram({ ...facts, name: "a_seconds", buckets });

    expect(() => histogram.observe({ kind: "x" }, Number.NaN)).toThrow(RangeError);
  });
});
