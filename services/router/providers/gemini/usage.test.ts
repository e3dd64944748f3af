import { describe, expect, it } from "vitest";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { readUsage } from "./usage.ts";

const { INPUT_TOKENS: INPUT, CACHED_INPUT_TOKENS: CACHED, CACHE_WRITE_TOKENS: WRITTEN } = Meter;
const { OUTPUT_TOKENS: OUTPUT, REASONING_TOKENS: REASONING } = Meter;

/** In this order: input, cached, written, output, reasoning. */
const read = (usage: unknown, hasText = true) => {
  const quantities = readUsage(usage, () => hasText);
  const count = (meter: Meter) => quantities?.get(meter);
  return quantities && [INPUT, CACHED, WRITTEN, OUTPUT, REASONING].map(count);
};

describe("readUsage() in the Gemini dialect", () => {
  it("takes cached tokens out of the prompt's, adds those of its tools, and leaves reasoning beside the output", () => {
    const usage = {
      promptTokenCount: 100,
      cachedContentTokenCount: 60,
      toolUsePromptTokenCount: 7,
      candidatesTokenCount: 20,
      thoughtsTokenCount: 30,
      totalTokenCount: 157,
    };

    expect(read(usage)).toEqual([47, 60, 0, 20, 30]);
  });

  it("takes what the total leaves for a candidates' count that is left out", () => {
    const usage = { promptTokenCount: 10, thoughtsTokenCount: 5, totalTokenCount: 18 };

    expect(read(usage)).toEqual([10, 0, 0, 3, 5]);
    expect(read({ promptTokenCount: 10, totalTokenCount: 10 }, false)).toEqual([10, 0, 0, 0, 0]);
  });

  it.each([
    undefined,
    null,
    [],
    {},
    { promptTokenCount: -1 },
    { promptTokenCount: 1.5 },
    { promptTokenCount: "9" },
    { promptTokenCount: 9, candidatesTokenCount: 1e10 },
    { promptTokenCount: 9, thoughtsTokenCount: -4, candidatesTokenCount: 4 },
    { promptTokenCount: 9, candidatesTokenCount: 0 },
    { promptTokenCount: 9 },
  ])("says nothing of %j", (usage) => {
    expect(read(usage)).toBeUndefined();
  });
});
