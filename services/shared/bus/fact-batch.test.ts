import { describe, expect, it } from "vitest";
import { splitBatch } from "./fact-batch.ts";

const split = (payload: Uint8Array, messageId = "eu.eu-1.boot-1.4-5") =>
  splitBatch("eu", { subject: "usage.eu.eu-1", payload, messageId, deliveries: 1 });
const seqs = (facts: ReturnType<typeof split>) => facts.map(({ positions }) => positions.map(({ seq }) => seq));

/** Facts of no bytes: two bytes each in a message. */
const createBatch = (count: number): Uint8Array =>
  Uint8Array.from({ length: 2 * count }, (_, at) => (at % 2 ? 0 : 0x0a));

describe("splitBatch()", () => {
  it("tells each fact's number from the message's id when it counts as many as there are, else none", () => {
    expect(seqs(split(createBatch(2)))).toEqual([[4n], [5n]]);
    expect(seqs(split(createBatch(3)))).toEqual([[], [], []]);
  });

  it("hands out the bytes of a fact as they came, and passes over fields of a newer producer", () => {
    expect(split(Uint8Array.of(0x10, 0x01, 0x0a, 0x02, 0xff, 0xfe), "eu.eu-1.boot-1.4-4")).toMatchObject([
      { bytes: Uint8Array.of(0xff, 0xfe), positions: [{ seq: 4n }] },
    ]);
  });

  it("takes a message of more facts than any producer sends for one fact, with all numbers of its id", () => {
    expect(split(createBatch(10_000))).toHaveLength(10_000);
    expect(seqs(split(createBatch(10_001)))).toEqual([[4n, 5n]]);
  });
});
