import { describe, expect, it } from "vitest";
import { toMarkdown } from "./markdown.ts";
import { createResult, createSegments } from "./segments.fixture.ts";

describe("markdown", () => {
  const segments = [
    ...createSegments("streams", "direct", { firstTokenP50: 1_000 }),
    ...createSegments("streams", "direct-again", { firstTokenP50: 1_050 }),
    ...createSegments("streams", "nginx", { firstTokenP50: 1_040 }),
    ...createSegments("streams", "portkey", { firstTokenP50: 27_000 }),
  ];

  it("times are shown as added to direct, and marked when they lie within the noise", () => {
    const page = toMarkdown(createResult(segments));
    expect(page).toContain("| nginx | +40 = |");
    expect(page).toContain("first token p50 ±50 µs");
  });

  it("Portkey's time to first token is shown raw and less its own sleep", () => {
    expect(toMarkdown(createResult(segments))).toContain("| portkey | +26000 (less its sleep +1000) |");
  });

  it("a segment with something against it is named and stays in the figures", () => {
    const [first, ...others] = segments as [(typeof segments)[number], ...typeof segments];
    const doubtful = { ...first, sample: { ...first.sample, problems: ["3 errors"] } };
    const page = toMarkdown(createResult([doubtful, ...others]));
    expect(page).toContain("- streams, direct, round 1: 3 errors");
    expect(page).toContain("| direct | 1000 |");
  });

  it("musts that the run did not measure are named as such", () => {
    expect(toMarkdown(createResult(segments))).toContain("Not measured in this run: CPU of a request, 0.4 KB");
  });
});
