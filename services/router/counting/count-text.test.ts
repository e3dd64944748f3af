import { readFileSync } from "node:fs";
import { join } from "node:path";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { describe, expect, it } from "vitest";
import { countText } from "./count-text.ts";

const README = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
const AS_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };
const SIZE = 256 * 1024;

/** A clock that moves by one millisecond each time that it is asked. */
function tick(): () => number {
  let nowMs = 0;
  return () => nowMs++;
}

const count = (text: string, limitMs = Number.POSITIVE_INFINITY) => countText(text, { limitMs, nowMs: tick() });

describe("countText", () => {
  it("counts a short text as the library does", () => {
    expect(count(README.slice(0, 3000))).toBe(countTokens(README.slice(0, 3000), AS_TEXT));
  });

  it("counts a long text as the library does, within half a percent", () => {
    const whole = countTokens(README, AS_TEXT);

    const counted = count(README);

    expect(Math.abs(counted - whole)).toBeLessThan(whole / 200);
  });

  it("takes what looks like a mark of the encoding for text", () => {
    expect(count("<|endoftext|>")).toBeGreaterThan(1);
  });

  it("counts nothing of nothing", () => {
    expect(count("")).toBe(0);
  });

  it.each([
    ["one letter", "a".repeat(SIZE)],
    ["spaces", " ".repeat(SIZE)],
    ["line ends", "\n".repeat(SIZE)],
    ["characters of two units", "🌊".repeat(SIZE / 4)],
    ["halves of characters", "\ud800".repeat(SIZE / 4)],
    ["marks without a letter", "\u0301".repeat(SIZE / 4)],
    ["a word without a break", "qzxj".repeat(SIZE / 4)],
  ])("comes to an end with %s", (_, text) => {
    const counted = count(text, 100);

    expect(counted).toBeGreaterThan(0);
    expect(counted).toBeLessThanOrEqual(Buffer.byteLength(text));
  });

  it("takes what is left when its time is over to have as many tokens for its size", () => {
    const text = "word ".repeat(SIZE / 5);
    const whole = count(text);

    const counted = count(text, 3);

    expect(Math.abs(counted - whole)).toBeLessThan(whole / 100);
  });
});
