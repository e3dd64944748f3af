import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { computeScore, createDrawSeed, DRAW_RANGE, toDraw } from "./draw.ts";

describe("computeScore()", () => {
  it("spreads each target evenly and independently of the others", () => {
    const targets = ["a", "b", "c", "d", "e"].map(createDrawSeed);
    const wins = targets.map(() => 0);
    const calls = 50_000;
    for (let count = 0; count < calls; count++) {
      const event = createDrawSeed(`019b7800-0000-7000-8000-${count.toString(16).padStart(12, "0")}`);
      const scores = targets.map((target) => computeScore(event, target, 1));
      wins[scores.indexOf(Math.max(...scores))]!++;
    }

    // Chi-squared with four degrees of freedom: above 18.5 once in a thousand if the spread is even.
    const expected = calls / targets.length;
    expect(wins.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)).toBeLessThan(18.5);
  });

  it.each([1, 10, 100, 1000])("gives a weight of %i its share beside a weight of one", (weight) => {
    const [heavy, light] = [createDrawSeed("heavy"), createDrawSeed("light")];
    const calls = 50_000;
    let wins = 0;
    for (let count = 0; count < calls; count++) {
      const event = createDrawSeed(`event-${count}`);
      if (computeScore(event, heavy, weight) > computeScore(event, light, 1)) wins++;
    }

    const share = weight / (weight + 1);
    expect(Math.abs(wins / calls - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / calls) + 1e-9);
  });

  it("keeps every draw within its range and in the order of the scores", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.integer({ min: 1, max: 1_000_000 }), (id, a, b, weight) => {
        const event = createDrawSeed(id);
        const scores = [computeScore(event, createDrawSeed(a), weight), computeScore(event, createDrawSeed(b), 1)];
        const [high, low] = scores.sort((x, y) => y - x).map(toDraw) as [number, number];
        expect(high).toBeGreaterThanOrEqual(low);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(DRAW_RANGE);
      }),
    );
  });
});
