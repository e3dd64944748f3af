import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WireWriter } from "./wire-writer.ts";

const writer = new WireWriter(256 * 1024);

function written(write: (writer: WireWriter) => void): string {
  writer.at = 0;
  write(writer);
  return writer.bytes.toString("hex", 0, writer.at);
}

/** The same by the library. */
function expected(write: (writer: BinaryWriter) => void): string {
  const library = new BinaryWriter();
  write(library);
  return Buffer.from(library.finish()).toString("hex");
}

describe("WireWriter", () => {
  it("writes integers of every size and sign as int64", () => {
    const numbers = fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.constantFrom(1, 127, 128, 2 ** 31 - 1, 2 ** 31));
    const bigints = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 15 }), fc.oneof(numbers, bigints), (field, value) => {
        fc.pre(BigInt(value) !== 0n);
        const library = expected((to) => to.tag(field, WireType.Varint).int64(BigInt(value)));
        expect(written((to) => to.int(field, value))).toBe(library);
      }),
      { numRuns: 1_000 },
    );
  });

  it("leaves out what proto3 leaves out", () => {
    const nothing = (to: WireWriter) => {
      to.int(1, 0);
      to.int(2, 0n);
      to.bool(3, false);
      to.text(4, "");
    };
    expect(written(nothing)).toBe("");
  });

  it("writes text of any length and script", () => {
    const texts = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.nat(20_000).map((length) => "a".repeat(length)),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const library = expected((to) => to.tag(5, WireType.LengthDelimited).string(text));
        expect(written((to) => to.item(5, text))).toBe(library);
      }),
    );
  });

  it.each([0, 1, 127, 128, 129, 16_383, 16_384, 100_000])("writes messages of %s bytes within messages", (size) => {
    const inner = new Uint8Array(size).fill(7);
    const library = expected((to) => {
      to.tag(1, WireType.LengthDelimited).fork();
      to.tag(2, WireType.LengthDelimited).bytes(inner);
      to.join();
    });
    const nested = written((to) => {
      const outer = to.open(1);
      const start = to.open(2);
      to.raw(inner);
      to.close(start);
      to.close(outer);
    });
    expect(nested).toBe(library);
  });

  it("repeats messages under another tag", () => {
    const sizes = [0, 5, 300, 20_000];
    const repeated = written((to) => {
      for (const size of sizes) to.message(7, new Uint8Array(size).fill(9));
      to.itemsAgain(11, 0, to.at);
    });
    const library = expected((to) => {
      for (const field of [7, 11]) {
        for (const size of sizes) to.tag(field, WireType.LengthDelimited).bytes(new Uint8Array(size).fill(9));
      }
    });
    expect(repeated).toBe(library);
  });

  it("counts on beyond its end, so that what does not fit is seen", () => {
    const small = new WireWriter(8);
    small.text(1, "longer than the buffer");
    expect(small.at).toBe(24);
    expect(() => small.itemsAgain(2, 0, 24)).not.toThrow();
    expect(small.at).toBe(48);
  });
});
