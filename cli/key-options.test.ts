import { describe, expect, it } from "vitest";
import { collectLabel, formatSpan, parseSpan, parseTime } from "./key-options.ts";

describe("parseSpan()", () => {
  it.each([
    ["0", 0n],
    ["45s", 45n],
    ["30m", 1_800n],
    ["24h", 86_400n],
    ["7d", 604_800n],
  ])("reads %s", (text, seconds) => {
    expect(parseSpan(text)).toMatchObject({ seconds, nanos: 0 });
  });

  it.each(["", "5", "-1s", "1.5h", "1w", "1h30m"])("refuses %j", (text) => {
    expect(() => parseSpan(text)).toThrow("should be a span of time");
  });

  it("reads what formatSpan() writes", () => {
    for (const text of ["0s", "45s", "90s", "30m", "25h", "7d"]) expect(formatSpan(parseSpan(text))).toBe(text);
  });
});

describe("collectLabel()", () => {
  it("adds labels to those before, and keeps further signs of equality", () => {
    expect(collectLabel("b=c=d", collectLabel("a="))).toEqual({ a: "", b: "c=d" });
  });

  it.each(["", "a", "=a"])("refuses %j", (text) => {
    expect(() => collectLabel(text)).toThrow("name=value");
  });
});

describe("parseTime()", () => {
  it("refuses what is no time", () => {
    expect(() => parseTime("soon")).toThrow("should be a time");
  });
});
