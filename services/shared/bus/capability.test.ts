import { describe, expect, it } from "vitest";
import { isAtLeast } from "./capability.ts";

describe("isAtLeast()", () => {
  it.each([
    ["2.9.0", true],
    ["2.9.10", true],
    ["2.10.0-beta.1", true],
    ["10.0.0", true],
    ["2.8.99", false],
    ["", false],
    ["nonsense", false],
  ])("a server %j is new enough for 2.9.0: %j", (version, expected) => {
    expect(isAtLeast(version, "2.9.0")).toBe(expected);
  });
});
