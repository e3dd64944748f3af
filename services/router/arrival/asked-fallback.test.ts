import { describe, expect, it } from "vitest";
import { readAskedFallback } from "./asked-fallback.ts";

describe("readAskedFallback()", () => {
  it("reads that no other target is wanted", () => {
    expect(readAskedFallback({ "x-weir-fallback": "none" })).toBe("none");
  });

  it("reads nothing where nothing is said, or what is the rule anyway", () => {
    expect([readAskedFallback({}), readAskedFallback({ "x-weir-fallback": "allowed" })]).toEqual([
      undefined,
      undefined,
    ]);
  });

  it.each(["", "None", "no", "false", "none, none", "none "])("refuses %j", (value) => {
    expect(() => readAskedFallback({ "x-weir-fallback": value })).toThrow(
      expect.objectContaining({ reason: "ARGUMENT_INVALID", facts: { field: "x-weir-fallback" } }),
    );
  });
});
