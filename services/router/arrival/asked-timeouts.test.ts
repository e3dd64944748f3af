import { describe, expect, it } from "vitest";
import { readAskedTimeouts } from "./asked-timeouts.ts";

describe("readAskedTimeouts()", () => {
  it("reads milliseconds, and times with a unit", () => {
    const headers = {
      "x-weir-timeout-connect": "250",
      "x-weir-timeout-first-token": "1500ms",
      "x-weir-timeout-idle": "2.5s",
      "x-weir-timeout-total": "2m",
    };

    expect(readAskedTimeouts(headers)).toEqual({
      connectMs: 250,
      firstTokenMs: 1_500,
      idleMs: 2_500,
      totalMs: 120_000,
    });
  });

  it("reads nothing where nothing is said", () => {
    expect(readAskedTimeouts({ "x-weir-timeout": "5s" })).toBeUndefined();
  });

  it.each([["0"], ["-1"], ["1h"], ["abc"], [""], ["1e3"], ["86400001"], ["1 s"], ["1s, 2s"]])("refuses %j", (value) => {
    expect(() => readAskedTimeouts({ "x-weir-timeout-idle": value })).toThrow(
      expect.objectContaining({ reason: "ARGUMENT_INVALID", facts: { field: "x-weir-timeout-idle" } }),
    );
  });
});
