import { describe, expect, it } from "vitest";
import { toSvg } from "./chart.ts";
import { createResult, createSegments } from "./segments.fixture.ts";

const result = createResult([
  ...createSegments("unary-0.4", "relay", { cpu: 40 }, { cpu: 42 }),
  ...createSegments("unary-0.4", "relay-again", { cpu: 41 }),
  ...createSegments("unary-0.4", "weir", { cpu: 44 }, { cpu: 46 }),
  ...createSegments("unary-0.4", "portkey", { cpu: 600 }),
]);

describe("chart", () => {
  it("each contender has a bar with its median beside it; twins that only show noise have none", () => {
    const svg = toSvg(result);
    expect(svg).toContain(">41.0</text>");
    expect(svg).toContain(">45.0</text>");
    expect(svg.match(/text-anchor="end"/g)).toHaveLength(3);
    expect(svg).not.toContain("relay-again");
  });

  it("the bar of one that is far beyond all others is broken in two", () => {
    expect(toSvg(result).match(/<rect /g)).toHaveLength(4);
    expect(toSvg(result).match(/stroke-width/g)).toHaveLength(2);
    const even = createResult(createSegments("unary-0.4", "relay", { cpu: 40 }));
    expect(toSvg(even)).not.toContain("stroke-width");
  });

  it("text from the machine is escaped", () => {
    expect(toSvg(result)).toContain("CPU &lt;1>");
  });
});
