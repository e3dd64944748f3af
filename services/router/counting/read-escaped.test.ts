import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readEscaped } from "./read-escaped.ts";

const write = (text: string) => Buffer.from(JSON.stringify(text).slice(1, -1));

describe("readEscaped", () => {
  it("reads what JSON.stringify wrote", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(readEscaped(write(text))).toBe(text);
      }),
    );
  });

  it("reads strings that stand one after the other, a character split among them too", () => {
    expect(readEscaped(Buffer.concat([Buffer.from("\\ud83c"), Buffer.from("\\udf0a\\/")]))).toBe("🌊/");
  });

  it("reads as much as there is of a text that was cut anywhere", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.nat(), (text, at) => {
        const bytes = write(text);
        const cut = bytes.subarray(0, at % (bytes.length + 1));

        expect(readEscaped(cut).length).toBeLessThanOrEqual(cut.length);
      }),
    );
  });
});
