import { describe, expect, it } from "vitest";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { readAnswer } from "./answer.ts";

const read = (value: unknown) => readAnswer(Buffer.from(typeof value === "string" ? value : JSON.stringify(value)));
const CHOICES = [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }];

describe("readAnswer()", () => {
  it("makes disjoint meters of the usage", () => {
    const usage = {
      prompt_tokens: 100,
      completion_tokens: 50,
      prompt_tokens_details: { cached_tokens: 30, cache_write_tokens: 20 },
      completion_tokens_details: { reasoning_tokens: 40 },
    };

    expect([...(read({ choices: CHOICES, usage }).quantities ?? [])]).toEqual([
      [Meter.INPUT_TOKENS, 50],
      [Meter.CACHED_INPUT_TOKENS, 30],
      [Meter.CACHE_WRITE_TOKENS, 20],
      [Meter.OUTPUT_TOKENS, 10],
      [Meter.REASONING_TOKENS, 40],
    ]);
  });

  it("never lets details be more than their total", () => {
    const usage = { prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 11 } };

    expect(read({ choices: CHOICES, usage }).quantities?.get(Meter.INPUT_TOKENS)).toBe(0);
    expect(read({ choices: CHOICES, usage }).quantities?.get(Meter.CACHED_INPUT_TOKENS)).toBe(10);
  });

  it.each([
    undefined,
    null,
    "many",
    {},
    { prompt_tokens: 1 },
    { prompt_tokens: -1, completion_tokens: 1 },
    { prompt_tokens: 1.5, completion_tokens: 1 },
    { prompt_tokens: "1", completion_tokens: 1 },
    { prompt_tokens: 1, completion_tokens: 1e30 },
    { prompt_tokens: 1, completion_tokens: 0 },
  ])("takes the usage %j for none, and says how much text there is", (usage) => {
    const reading = read({ choices: CHOICES, usage });

    expect(reading.quantities).toBeUndefined();
    expect(reading.failure).toBeUndefined();
    expect(reading.textBytes).toBeGreaterThan(4);
  });

  it("believes that an empty answer took no tokens", () => {
    const choices = [{ index: 0, message: { role: "assistant", content: "" }, finish_reason: "stop" }];

    expect(read({ choices, usage: { prompt_tokens: 1, completion_tokens: 0 } }).quantities).toBeDefined();
  });

  it.each(["", "{", "[]", "<html>", "{}", { choices: null }, { error: { message: "no" } }, '{"a":"\ud800"}'])(
    "takes %j for no answer",
    (value) => {
      expect(read(value).failure).toMatchObject({ elsewhere: true });
    },
  );

  it("takes bytes that are no UTF-8 for no answer", () => {
    expect(readAnswer(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])).failure).toBeDefined();
  });
});
