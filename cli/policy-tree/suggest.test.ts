import { describe, expect, it } from "vitest";
import { findNearest } from "./suggest.ts";

describe("findNearest()", () => {
  it.each([
    ["routs", "routes"],
    ["base_url", "baseUrl"],
    ["requests-per-minute", "requestsPerMinute"],
    ["Regions", "regions"],
  ])("takes %s for %s", (word, meant) => {
    expect(findNearest(word, ["regions", "routes", "baseUrl", "requestsPerMinute"])).toBe(meant);
  });

  it("guesses at nothing that is far off, or as long as a book", () => {
    expect(findNearest("budget", ["regions", "routes"])).toBeUndefined();
    expect(findNearest("r".repeat(100_000), ["regions"])).toBeUndefined();
  });
});
