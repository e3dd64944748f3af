import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeptText, MOST_KEPT_BYTES } from "./kept-text.ts";

/** Memory with a bound. */
class Memory {
  usedBytes = 0;
  readonly #limitBytes: number;
  constructor(limitBytes = Number.POSITIVE_INFINITY) {
    this.#limitBytes = limitBytes;
  }
  take(bytes: number): void {
    if (this.usedBytes + bytes > this.#limitBytes) throw new Error("full");
    this.usedBytes += bytes;
  }
  give(bytes: number): void {
    this.usedBytes -= bytes;
  }
}

const offer = (text: KeptText, bytes: Buffer) => text.take(bytes, 0, bytes.length);

describe("KeptText", () => {
  it("keeps what is offered, in its order, and nothing but that counts", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3000 })), (parts) => {
        const memory = new Memory();
        const text = new KeptText(memory);
        for (const part of parts) offer(text, Buffer.from(part));
        expect(memory.usedBytes).toBeGreaterThanOrEqual(text.keptBytes);

        const kept = text.handOver();

        expect(Buffer.from(kept)).toEqual(Buffer.concat(parts));
        expect(text.seenBytes).toBe(kept.length);
        expect(memory.usedBytes).toBe(0);
      }),
    );
  });

  it("keeps a part of the string", () => {
    const text = new KeptText();

    text.take(Buffer.from('"abc"'), 1, 4);

    expect(Buffer.from(text.handOver()).toString()).toBe("abc");
  });

  it("keeps a parsed text as it stands in JSON", () => {
    const text = new KeptText();

    text.takeText('"\n');

    expect(Buffer.from(text.handOver()).toString()).toBe('\\"\\n');
  });

  it("keeps the first 256 KiB, and knows the size of the rest", () => {
    const text = new KeptText();

    offer(text, Buffer.alloc(MOST_KEPT_BYTES - 10, "a"));
    offer(text, Buffer.alloc(100, "b"));
    offer(text, Buffer.alloc(5, "c"));

    expect(text.seenBytes).toBe(MOST_KEPT_BYTES + 95);
    const kept = Buffer.from(text.handOver());
    expect(kept).toHaveLength(MOST_KEPT_BYTES);
    expect(kept.subarray(-11).toString()).toBe("abbbbbbbbbb");
  });

  it("keeps no more once its memory is full", () => {
    const memory = new Memory(2048);
    const text = new KeptText(memory);

    for (let i = 0; i < 100; i += 1) offer(text, Buffer.alloc(100, "a"));

    expect(text.seenBytes).toBe(10_000);
    expect(text.keptBytes).toBe(2048);
    expect(memory.usedBytes).toBe(2048);
    text.release();
    expect(memory.usedBytes).toBe(0);
  });

  it("forgets what was no text after all", () => {
    const text = new KeptText();
    offer(text, Buffer.from("text"));
    const { seenBytes } = text;

    offer(text, Buffer.from(" of an error"));
    text.rewind(seenBytes);
    offer(text, Buffer.from("!"));

    expect(text.seenBytes).toBe(5);
    expect(Buffer.from(text.handOver()).toString()).toBe("text!");
  });

  it("gives its memory back once, however often it is let go of", () => {
    const memory = new Memory();
    const text = new KeptText(memory);
    offer(text, Buffer.from("text"));

    text.release();
    text.release();

    expect(memory.usedBytes).toBe(0);
    offer(text, Buffer.from("more"));
    expect(memory.usedBytes).toBe(0);
  });
});
