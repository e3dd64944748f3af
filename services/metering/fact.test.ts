import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createUsage, createUsageMessage, createUsages } from "../../test/usages.ts";
import { readFacts } from "./fact.ts";

const bytes = (...parts: (Uint8Array | readonly number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => Uint8Array.from(part)));

// A usage in a batch: field 1, length-delimited.
const wrap = (part: Uint8Array): Uint8Array => bytes([0x0a, part.length], part);

const seqs = (facts: ReturnType<typeof readFacts>): bigint[] =>
  facts.flatMap(({ positions }) => positions.map(({ seq }) => seq));

describe("readFacts()", () => {
  it("reads each usage with its place and its bytes", () => {
    const message = createUsageMessage(createUsages(3));

    const facts = readFacts("eu", message);

    expect(facts.map(({ usage }) => usage?.producer?.seq)).toEqual([1n, 2n, 3n]);
    expect(seqs(facts)).toEqual([1n, 2n, 3n]);
    expect(Buffer.from(message.payload).includes(Buffer.from(facts[1]!.bytes))).toBe(true);
  });

  it("keeps the others when one is broken, and tells the broken one's place from the message's id", () => {
    const good = readFacts("eu", createUsageMessage([createUsage({ seq: 7n })]))[0]!;
    const message = createUsageMessage([], {
      payload: bytes(toBatch(good.bytes), wrap(Uint8Array.of(0x0a, 0xff))),
      messageId: "eu.eu-1.boot-1.7-8",
    });

    const facts = readFacts("eu", message);

    expect(facts.map(({ usage }) => usage !== undefined)).toEqual([true, false]);
    expect(seqs(facts)).toEqual([7n, 8n]);
  });

  it("takes a message that is no batch as one fact that stands for all that its id says", () => {
    const facts = readFacts("eu", createUsageMessage([], { payload: bytes([0xff, 0xff]), messageId: "eu.eu-1.b.4-6" }));

    expect(facts).toHaveLength(1);
    expect(facts[0]?.usage).toBeUndefined();
    expect(seqs(facts)).toEqual([4n, 5n, 6n]);
  });

  it("reads the id of a batch that is sent again on purpose", () => {
    const facts = readFacts("eu", createUsageMessage([], { payload: bytes([0xff]), messageId: "eu.eu-1.b.4-5.2" }));

    expect(seqs(facts)).toEqual([4n, 5n]);
  });

  it("moves nobody's watermark for a usage or a message of another region", () => {
    expect(seqs(readFacts("eu", createUsageMessage([createUsage({ region: "us" })])))).toEqual([]);
    expect(
      seqs(readFacts("eu", createUsageMessage([], { payload: bytes([0xff]), messageId: "us.us-1.b.1-2" }))),
    ).toEqual([]);
  });

  it.each([
    ["a name too long for an index", { instance: "x".repeat(65) }],
    ["a NUL in its boot", { boot: "a\0" }],
    ["no boot", { boot: "" }],
    ["the seq 0", { seq: 0n }],
  ])("gives a usage with %s no place, so that it can be parked", (_, options) => {
    const facts = readFacts("eu", createUsageMessage([createUsage(options)]));

    expect(facts).toMatchObject([{ region: "eu", positions: [] }]);
  });

  it.each(["", "nonsense", "eu.eu-1.b.2-1", "eu.eu-1.b.0-1", "eu.eu-1.b.1-999999999999999999"])(
    "believes no id such as %j",
    (messageId) => {
      expect(seqs(readFacts("eu", createUsageMessage([], { payload: bytes([0xff]), messageId })))).toEqual([]);
    },
  );

  it("never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), (payload, messageId) => {
        for (const fact of readFacts("eu", createUsageMessage([], { payload, messageId })))
          expect(fact.region).toBe("eu");
      }),
    );
  });
});

function toBatch(fact: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let rest = fact.length; ; rest >>= 7) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    if (rest <= 0x7f) return bytes([0x0a], length, fact);
  }
}
