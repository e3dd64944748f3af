import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isExactNumber, parseExact, toDoubles, toNumber, writeInteger } from "./exact-json.ts";

/** Numbers as JSON can write them: of any length, with fractions, exponents and zeros that say nothing. */
const literals = fc
  .tuple(
    fc.constantFrom("", "-"),
    fc.oneof(fc.constant("0"), fc.stringMatching(/^[1-9][0-9]{0,40}$/)),
    fc.oneof(fc.constant(""), fc.stringMatching(/^\.[0-9]{1,40}$/)),
    fc.oneof(fc.constant(""), fc.stringMatching(/^[eE][+-]?[0-9]{1,4}$/)),
  )
  .map((parts) => parts.join(""));

describe("parseExact()", () => {
  it("keeps each number as it was written, whatever it is", () => {
    fc.assert(
      fc.property(literals, (literal) => {
        const text = `{"a":[${literal},{"b":${literal}}]}`;
        expect(JSON.stringify(parseExact(text))).toBe(text);
      }),
    );
  });

  it("keeps all else as it is", () => {
    const text = '{"a":{"b":null,"c":true,"d":"1e400"},"e":[]}';

    expect(JSON.stringify(parseExact(text))).toBe(text);
  });

  it("gives numbers as numbers that a double is written as", () => {
    expect(parseExact('{"a":[1,0.25,9007199254740991,0.30000000000000004,-7]}')).toEqual({
      a: [1, 0.25, 9007199254740991, 0.30000000000000004, -7],
    });
  });

  it("throws on what is no JSON", () => {
    expect(() => parseExact("{")).toThrow(SyntaxError);
  });
});

describe("toNumber()", () => {
  it("reads what is kept as a double reads it, and nothing that is no number", () => {
    expect(["1.0", "9007199254740993", "1e400", "5"].map((text) => toNumber(parseExact(text)))).toEqual([
      1,
      9007199254740992,
      Number.POSITIVE_INFINITY,
      5,
    ]);
    expect(['"5"', "{}", "null", "[]"].map((text) => toNumber(parseExact(text)))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("isExactNumber()", () => {
  it("tells a number that is kept from objects", () => {
    expect(isExactNumber(parseExact("1.0"))).toBe(true);
    expect(isExactNumber(parseExact('{"rawJSON":"1.0"}'))).toBe(false);
  });
});

describe("writeInteger()", () => {
  it("is written with all digits", () => {
    expect(JSON.stringify([writeInteger(7n), writeInteger(-(2n ** 63n))])).toBe("[7,-9223372036854775808]");
  });
});

describe("toDoubles()", () => {
  it("leaves no number that a Struct could not hold", () => {
    expect(toDoubles(parseExact('{"a":[1.0,{"b":12345678901234567890}],"c":1e400,"d":null}'))).toEqual({
      a: [1, { b: 12345678901234567000 }],
      c: "1e400",
      d: null,
    });
  });
});
