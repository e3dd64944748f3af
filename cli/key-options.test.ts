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

  it("refuses a name that was given before, also with the same value", () => {
    expect(() => collectLabel("a=1", { a: "1" })).toThrow('should be the only label "a"');
  });

  it.each(["", "a", "=a"])("refuses %j", (text) => {
    expect(() => collectLabel(text)).toThrow("name=value");
  });
});

describe("parseTime()", () => {
  it.each([
    ["2027-01-31", "2027-01-31T00:00:00.000Z"],
    ["2028-02-29T12:00Z", "2028-02-29T12:00:00.000Z"],
    ["2027-01-31T23:30:00+01:00", "2027-01-31T22:30:00.000Z"],
  ])("reads %s", (text, time) => {
    expect(parseTime(text).toISOString()).toBe(time);
  });

  it.each([
    "soon",
    "",
    "5",
    "2027-02-30",
    "2027-02-29T12:00:00Z",
    "2027-01-31T12:00:00",
    "2027-01-31T25:00:00Z",
    "31.1.2027",
  ])("refuses %j, which is no time", (text) => {
    expect(() => parseTime(text)).toThrow("should be a time");
  });
});
