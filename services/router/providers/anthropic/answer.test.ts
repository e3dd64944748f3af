import { describe, expect, it } from "vitest";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { readAnswer } from "./answer.ts";
import { countTokens } from "./count-tokens.ts";

const read = (answer: object) => readAnswer(Buffer.from(JSON.stringify(answer)));
const TEXT = [{ type: "text", text: "hi" }];

describe("readAnswer()", () => {
  it("makes disjoint meters of the usage", () => {
    const usage = {
      input_tokens: 5,
      cache_read_input_tokens: 10,
      cache_creation_input_tokens: null,
      output_tokens: 9,
      output_tokens_details: { thinking_tokens: 4 },
    };

    const { quantities, failure } = read({ type: "message", content: TEXT, usage });

    expect(failure).toBeUndefined();
    expect([...(quantities ?? [])]).toEqual([
      [Meter.INPUT_TOKENS, 5],
      [Meter.CACHED_INPUT_TOKENS, 10],
      [Meter.CACHE_WRITE_TOKENS, 0],
      [Meter.OUTPUT_TOKENS, 5],
      [Meter.REASONING_TOKENS, 4],
    ]);
  });

  it("does not believe that text took no tokens", () => {
    expect(read({ content: TEXT, usage: { input_tokens: 5, output_tokens: 0 } }).quantities).toBeUndefined();
    expect(read({ content: [], usage: { input_tokens: 5, output_tokens: 0 } }).quantities).toBeDefined();
  });

  it.each([{ usage: {} }, { content: null }, { type: "error", error: { type: "overloaded_error", message: "x" } }])(
    "takes %j for a failure",
    (answer) => {
      expect(read(answer).failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
    },
  );

  it.each(["", "[]", "{", "\xff"])("takes %j for a failure", (text) => {
    expect(readAnswer(Buffer.from(text, "latin1")).failure).toBeDefined();
  });
});

describe("countTokens", () => {
  it("uses nothing, and knows a count from something else", () => {
    const counted = countTokens.readAnswer(Buffer.from('{"input_tokens":14}'));

    expect(counted.failure).toBeUndefined();
    expect([...(counted.quantities?.values() ?? [])].every((quantity) => quantity === 0)).toBe(true);
    expect(countTokens.readAnswer(Buffer.from("{}")).failure).toBeDefined();
  });
});
