import { describe, expect, it } from "vitest";
import { parseExact } from "./exact-json.ts";

describe("parseExact()", () => {
  it.each([
    '{"id":12345678901234567890,"n":[1.5,1e400,-7]}',
    '{"a":{"b":null,"c":true,"d":"1e400"},"e":[]}',
    "9007199254740993",
  ])("keeps the numbers of %s, too large ones included", (text) => {
    expect(JSON.stringify(parseExact(text))).toBe(text);
  });

  it("gives numbers that a double holds as numbers", () => {
    expect(parseExact('{"a":[1,0.25,9007199254740991,0.30000000000000004,3.14159265358979323846]}')).toEqual({
      a: [1, 0.25, 9007199254740991, 0.30000000000000004, Math.PI],
    });
  });

  it("throws on what is no JSON", () => {
    expect(() => parseExact("{")).toThrow(SyntaxError);
  });
});
