import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonScan, MAX_DEPTH, type WatchOptions, watchKeys } from "./json-scan.ts";

const NAMES = ["model", "stream", "n"];

function scan(text: string): { ok: boolean; scan: JsonScan; bytes: Buffer } {
  const bytes = Buffer.from(text);
  const scanned = new JsonScan(watchKeys(NAMES, { strict: true, nested: "finish" }));
  return { ok: scanned.scan(bytes, 0, bytes.length), scan: scanned, bytes };
}

function parsesToObject(text: string): boolean {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

describe("JsonScan", () => {
  it("accepts every object that JSON.stringify writes, and says where the values stand", () => {
    const values = fc.jsonValue({ maxDepth: 5 });
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), values),
        fc.record({ model: values, stream: values, n: values }, { requiredKeys: [] }),
        fc.constantFrom(undefined, 1, "\t", "\r\n"),
        (others, watched, indent) => {
          const rest = Object.entries(others).filter(([key]) => !NAMES.includes(key.toUpperCase().toLowerCase()));
          const text = JSON.stringify({ ...Object.fromEntries(rest), ...watched }, undefined, indent as never);

          const { ok, scan: found, bytes } = scan(text);

          expect(ok).toBe(true);
          for (const [index, name] of NAMES.entries()) {
            const value = (watched as Record<string, unknown>)[name];
            const start = found.starts[index]!;
            if (value === undefined) expect(start).toBe(-1);
            else {
              const slice = bytes.subarray(start, found.ends[index]!).toString();
              expect(slice).toBe(slice.trim());
              expect(JSON.parse(slice)).toEqual(JSON.parse(JSON.stringify(value)));
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("accepts exactly what JSON.parse accepts, also of what was damaged", () => {
    const damaged = fc
      .tuple(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.nat(),
        fc.nat(3),
        fc.string({ maxLength: 3 }),
        fc.constantFrom("", "x".repeat(700), "é\\n".repeat(300)),
      )
      .map(([value, at, removed, inserted, long]) => {
        const text = JSON.stringify({ ...value, long });
        const place = at % (text.length + 1);
        return text.slice(0, place) + inserted + text.slice(place + removed);
      })
      // Lone surrogates do not survive Buffer.from, and watched keys have a rule of their own.
      .filter((text) => text.isWellFormed() && !/model|stream|n"/i.test(text));
    fc.assert(
      fc.property(damaged, (text) => {
        expect(scan(text).ok).toBe(parsesToObject(text));
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    "{}",
    '{"a":-0.5e+10,"b":[],"c":{},"d":[[],{}],"e":0,"f":1E2}',
    '{"a":"\\u00e9\\"\\\\\\/\\b\\f\\n\\r\\t"}',
    ' \t\r\n{"a" : [ 1 , 2 ] } ',
    '{"a":"\\ud800"}',
    '{"__proto__":{"constructor":1}}',
  ])("accepts %s", (text) => expect(scan(text).ok).toBe(true));

  it.each([
    "",
    "[]",
    "1",
    '"a"',
    "null",
    "{",
    '{"a":1,}',
    "{,}",
    '{"a":[1,]}',
    '{"a":01}',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":1.}',
    '{"a":1e}',
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":tru}',
    "{'a':1}",
    '{"a":1}{"b":2}',
    '{"a":1} x',
    '{"a":1 /* c */}',
    '{"a":"\t"}',
    '{"a":"\\x41"}',
    '{"a":"\\u12g4"}',
    '{"a":"\0"}',
    '{"a"}',
    '{"a":}',
    '{"a":[}',
    '{"a":{]}',
    '\ufeff{"a":1}',
    '{"a":"b',
    '{"a":"\\',
    '{"a":"\\u12',
  ])("refuses %j with a problem and its place", (text) => {
    const { ok, scan: found } = scan(text);

    expect(ok).toBe(false);
    expect(found.problem).not.toBe("");
    expect(found.problemAt).toBeLessThanOrEqual(Buffer.byteLength(text));
  });

  it.each([
    ['{"model":"a","model":"b"}', "model"],
    ['{"Model":"a"}', "model"],
    ['{"STREAM":true}', "stream"],
    ['{"mod\\u0065l":"a"}', "model"],
    ['{"\\u006D\\u006f\\u0044\\u0065\\u006c":"a"}', "model"],
    ['{"ſtream":true}', "stream"],
    ['{"N":1}', "n"],
  ])("refuses %s, which readers read differently", (text, key) => {
    const { ok, scan: found } = scan(text);

    expect(ok).toBe(false);
    expect(found.problemKey).toBe(key);
  });

  it("leaves the same keys alone below the top level", () => {
    expect(scan('{"metadata":{"model":1,"model":2,"Model":3}}').ok).toBe(true);
  });

  it("leaves other keys alone, repeated, escaped or strange", () => {
    expect(scan('{"a":1,"a":2,"\\u0061":3,"é":4,"":5,"modelx":6,"mode":7}').ok).toBe(true);
  });

  it("refuses nesting beyond its limit and accepts nesting at it", () => {
    const nested = (depth: number) => `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;

    expect(scan(nested(MAX_DEPTH)).ok).toBe(true);
    expect(scan(nested(MAX_DEPTH + 1)).ok).toBe(false);
    expect(scan(nested(100_000)).ok).toBe(false);
  });

  it("finds what ends a long string at every place and every alignment", () => {
    const memory = Buffer.alloc(4_096);
    for (let offset = 0; offset < 8; offset += 1) {
      for (let length = 600; length < 612; length += 1) {
        for (const [ending, ok] of [
          ['"', true],
          ['\\"x"', true],
          ["\n", false],
          ["\u001f", false],
          ["\\x", false],
          ["", false],
        ] as const) {
          const text = `{"a":"${"é".repeat(50)}${"x".repeat(length)}${ending}}`;
          const bytes = memory.subarray(offset, offset + Buffer.byteLength(text));
          bytes.write(text);

          expect(new JsonScan(watchKeys(NAMES)).scan(bytes, 0, bytes.length)).toBe(ok);
        }
      }
    }
  });

  it("says of a long string what it says of a short one: whether it is right, and what is wrong where", () => {
    const pieces = fc.oneof(
      fc.nat(40).map((length) => "x".repeat(length)),
      fc.constantFrom("é", "東京", '\\"', "\\\\", "\\n", "\\u00e9", "\\uD83D"),
    );
    const wrong = fc.constantFrom("", "\n", "\u0000", "\u001f", "\\x", "\\u12g4", "\\u12", "\\", '"', '" x', "\u007f");
    const contents = fc.tuple(fc.array(pieces), wrong, fc.array(pieces, { maxLength: 1 }));
    fc.assert(
      fc.property(contents, fc.nat(16), fc.constantFrom('"}', '"', ""), fc.boolean(), (parts, offset, end, isKey) => {
        const [before, bad, after] = parts;
        const start = isKey ? '{"' : '{"a":"';
        // What comes before the wrong piece is right, so the string without it has the same wrong, only earlier. It is so short
        // that it is not handed to the skipper.
        const skipped = Buffer.byteLength(before.join(""));
        const short = Buffer.from(`${start}${bad}${after.join("")}${end}`);
        const long = Buffer.from(`${start}${before.join("")}${bad}${after.join("")}${end}`);
        const memory = Buffer.alloc(offset + long.length + 80, '"');
        long.copy(memory, offset);
        const expected = new JsonScan(watchKeys(NAMES));
        const found = new JsonScan(watchKeys(NAMES));

        const ok = found.scan(memory, offset, offset + long.length);

        expect(ok).toBe(expected.scan(short, 0, short.length));
        expect(found.problem).toBe(expected.problem);
        if (!ok) expect(found.problemAt).toBe(offset + skipped + expected.problemAt);
      }),
      { numRuns: 3_000 },
    );
  });

  it("counts the text below the top level", () => {
    expect(scan('{"id":"not this","a":[{"b":"12345","c":{"d":"\\n"}}]}').scan.textBytes).toBe(7);
  });

  it.each([
    ['{"a":[{"finish":"stop"}]}', true],
    ['{"a":[{"finish" : "stop","b":null}]}', true],
    ['{"a":[{"finish":null,"b":"stop"}]}', false],
    ['{"a":[{"finish":"","b":"stop"}]}', false],
    ['{"finish":"stop"}', false],
    ['{"a":["finish","stop"]}', false],
  ])("says of %s whether the nested key has a string: %s", (text, expected) => {
    expect(scan(text).scan.nestedString).toBe(expected);
  });

  it("takes the last of repeated keys when it is not strict", () => {
    const bytes = Buffer.from('{"n":1,"N":2,"n":3}');
    const scanned = new JsonScan(watchKeys(NAMES));

    expect(scanned.scan(bytes, 0, bytes.length)).toBe(true);
    expect(bytes.subarray(scanned.starts[2], scanned.ends[2]).toString()).toBe("3");
  });

  it("scans a part of a buffer", () => {
    const bytes = Buffer.from('data: {"model":"a"}\n');
    const scanned = new JsonScan(watchKeys(NAMES));

    expect(scanned.scan(bytes, 6, bytes.length)).toBe(true);
    expect(bytes.subarray(scanned.starts[0], scanned.ends[0]).toString()).toBe('"a"');
  });

  describe("hands over texts", () => {
    const OBJECT = Buffer.from(
      '{"top":"t","in":{"type":"kind","text":"a\\n","list":["b",{"c":"d"}]},"out":{"text":"e"},"empty":{"text":""}}',
    );
    const list = (options: WatchOptions) => {
      const texts: string[] = [];
      const taker = {
        take: (bytes: Uint8Array, from: number, to: number) =>
          void texts.push(Buffer.from(bytes.subarray(from, to)).toString()),
      };
      const scanned = new JsonScan(watchKeys(["in"], options));
      expect(scanned.scan(OBJECT, 0, OBJECT.length, taker)).toBe(true);
      expect(scanned.textBytes).toBe(texts.join("").length);
      return texts;
    };

    it("of strings below the top level, as they stand there", () => {
      expect(list({})).toEqual(["kind", "a\\n", "b", "d", "e"]);
    });

    it("of strings at the top level too", () => {
      expect(list({ text: "all" })).toEqual(["t", "kind", "a\\n", "b", "d", "e"]);
    });

    it("of strings within watched members alone", () => {
      expect(list({ text: "watched" })).toEqual(["kind", "a\\n", "b", "d"]);
    });

    it("but not of those whose key says that they are none", () => {
      expect(list({ noText: ["type", "tex", "list", "c"] })).toEqual(["a\\n", "b", "e"]);
    });

    it("of names within watched members, if wanted", () => {
      expect(list({ text: "watched", names: true })).toEqual(["type", "kind", "text", "a\\n", "list", "b", "c", "d"]);
    });
  });
});
