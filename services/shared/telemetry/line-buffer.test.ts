import { describe, expect, it } from "vitest";
import { LineBuffer } from "./line-buffer.ts";

function start() {
  const written: string[] = [];
  return { written, buffer: new LineBuffer((text) => void written.push(text)) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("LineBuffer", () => {
  it("writes the lines of a turn as one, in their order, when the turn is over", async () => {
    const { written, buffer } = start();
    for (let line = 0; line < 100; line++) buffer.write(`${line}\n`);
    const before = [...written];

    await turn();
    buffer.write("next\n");
    await turn();

    expect(before).toEqual([]);
    expect(written).toEqual([Array.from({ length: 100 }, (_, line) => `${line}\n`).join(""), "next\n"]);
  });

  it("writes at once when told to, and no line twice", async () => {
    const { written, buffer } = start();
    buffer.write("a\n");
    buffer.flushSync();
    buffer.flushSync();
    const before = [...written];

    await turn();

    expect(before).toEqual(["a\n"]);
    expect(written).toEqual(["a\n"]);
  });

  it("does not wait for the turn's end with much", () => {
    const { written, buffer } = start();

    for (let line = 0; line < 3; line++) buffer.write("x".repeat(40_000));

    expect(written).toEqual(["x".repeat(80_000)]);
  });
});
