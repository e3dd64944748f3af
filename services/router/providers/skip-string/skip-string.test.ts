import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StringSkipper, WINDOW_BYTES } from "./skip-string.ts";

/** RFC 8259, section 7, for one byte a character. */
const SKIPPED = /(?:[ !#-[\]-\xff]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*/y;

function skipPlainly(bytes: Buffer, i: number, to: number): number {
  SKIPPED.lastIndex = 0;
  return i + SKIPPED.exec(bytes.toString("latin1", i, to))![0].length;
}

function skip(bytes: Buffer, i: number, to: number): number {
  const skipper = new StringSkipper();
  skipper.begin();
  return skipper.skip(bytes, i, to);
}

const plain = fc.oneof(
  fc.nat(70).map((length) => "x".repeat(length)),
  fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.replace(/["\\\p{Cc}]/gu, "")),
  fc.constantFrom(" !#[]^`~\x7f", "é", "東京", "\u{1f600}", "\x80\xff"),
);
const escaped = fc.oneof(
  fc.constantFrom('\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", '\\\\\\"', "\\\\\\\\"),
  fc.integer({ min: 0, max: 0xffff }).map((code) => `\\u${code.toString(16).padStart(4, "0")}`),
  fc.constantFrom("\\uD83D\\uDE00", "\\uaFAf", "\\u0000"),
);
const ending = fc.oneof(
  fc.constantFrom(
    '"',
    "\\",
    "\\x",
    "\\u",
    "\\u12",
    "\\u12g4",
    "\\u/123",
    "\\u:000",
    "\\u00`0",
    "\\u000G",
    "\\U0041",
    "\\é",
  ),
  fc.nat(0x1f).map((code) => String.fromCharCode(code)),
);
/** Strings up to some hundred bytes, most of them with something in the middle that ends them. */
const content = fc
  .tuple(fc.array(fc.oneof(plain, escaped)), ending, fc.array(fc.oneof(plain, escaped, ending)))
  .map(([before, end, after]) => Buffer.from([...before, end, ...after].join("")));

/** The bytes of `content` so many bytes into a buffer, with quotes around that nobody is to see. */
function place(content: Buffer, offset: number): Buffer {
  const memory = Buffer.alloc(offset + content.length + 100, '"');
  content.copy(memory, offset);
  return memory;
}

describe("StringSkipper", () => {
  it("stops where the grammar of JSON does, at every alignment and wherever the text is cut", () => {
    fc.assert(
      fc.property(content, fc.nat(20), fc.nat(), (text, offset, cut) => {
        const bytes = place(text, offset);
        const to = offset + (cut % (text.length + 1));

        expect(skip(bytes, offset, bytes.length)).toBe(skipPlainly(bytes, offset, bytes.length));
        expect(skip(bytes, offset, to)).toBe(skipPlainly(bytes, offset, to));
      }),
      { numRuns: 2_000 },
    );
  });

  it("stops where the grammar of JSON does, whatever the bytes", () => {
    const special = fc.constantFrom(0x22, 0x5c, 0x75, 0x1f, 0x20, 0x30, 0x66, 0x6e, 0x80, 0xff);
    const bytes = fc.array(fc.oneof(special, fc.nat(255)), { maxLength: 200 }).map((values) => Buffer.from(values));
    fc.assert(
      fc.property(bytes, (value) => {
        expect(skip(value, 0, value.length)).toBe(skipPlainly(value, 0, value.length));
      }),
      { numRuns: 2_000 },
    );
  });

  it("judges each byte, alone and after a backslash, at each place of a step", () => {
    for (let byte = 0; byte < 256; byte += 1) {
      for (let before = 0; before < 66; before += 1) {
        const alone = Buffer.from([...Buffer.alloc(before, "x"), byte, 0x78, 0x22]);
        const behind = Buffer.from([...Buffer.alloc(before, "x"), 0x5c, byte, 0x78, 0x22]);

        expect(skip(alone, 0, alone.length)).toBe(skipPlainly(alone, 0, alone.length));
        expect(skip(behind, 0, behind.length)).toBe(skipPlainly(behind, 0, behind.length));
      }
    }
  });

  it("judges each byte at each place of four hexadecimal digits", () => {
    for (let byte = 0; byte < 256; byte += 1) {
      for (let place = 2; place < 6; place += 1) {
        const bytes = Buffer.from('\\u00aF"');
        bytes[place] = byte;

        expect(skip(bytes, 0, bytes.length)).toBe(skipPlainly(bytes, 0, bytes.length));
      }
    }
  });

  it("goes on over the end of its window, also when an escape stands there", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: -80, max: 20 }), content, (windows, by, text) => {
        const bytes = Buffer.concat([Buffer.alloc(windows * WINDOW_BYTES + by, "x"), text]);

        expect(skip(bytes, 0, bytes.length)).toBe(skipPlainly(bytes, 0, bytes.length));
      }),
      { numRuns: 1_000 },
    );
  });

  it("skips the strings of one buffer one after the other", () => {
    const strings = fc.array(fc.tuple(fc.array(fc.oneof(plain, escaped)), fc.nat(WINDOW_BYTES)), { maxLength: 10 });
    fc.assert(
      fc.property(strings, (values) => {
        const texts = values.map(([pieces, more]) => `${pieces.join("")}${"x".repeat(more)}"`);
        const bytes = Buffer.from(texts.join(""));
        const skipper = new StringSkipper();
        skipper.begin();
        let i = 0;
        for (const text of texts) {
          const end = i + Buffer.byteLength(text);

          expect(skipper.skip(bytes, i, bytes.length)).toBe(end - 1);

          i = end;
        }
      }),
    );
  });

  it("sees nothing of the buffer before", () => {
    const before = Buffer.alloc(WINDOW_BYTES, '"');
    const skipper = new StringSkipper();
    for (let length = 0; length < 200; length += 1) {
      skipper.begin();
      skipper.skip(before, 0, before.length);
      skipper.begin();
      const bytes = Buffer.alloc(length, "x");

      expect(skipper.skip(bytes, 0, length)).toBe(length);
    }
  });
});
