import { describe, expect, it } from "vitest";
import { Meter } from "../../../../../gen/weir/type/v1/usage_pb.ts";
import { readAnswer } from "./answer.ts";

const OUTPUT = [{ id: "msg_1", type: "message", role: "assistant", content: [{ type: "output_text", text: "Nine." }] }];

function read(answer: unknown) {
  return readAnswer(Buffer.from(JSON.stringify(answer)));
}

describe("readAnswer()", () => {
  it("makes disjoint meters of the usage", () => {
    const usage = {
      input_tokens: 30,
      input_tokens_details: { cached_tokens: 10, cache_write_tokens: 4 },
      output_tokens: 20,
      output_tokens_details: { reasoning_tokens: 5 },
    };

    const { failure, quantities } = read({ status: "completed", error: null, output: OUTPUT, usage });

    expect(failure).toBeUndefined();
    expect([...quantities!]).toEqual([
      [Meter.INPUT_TOKENS, 16],
      [Meter.CACHED_INPUT_TOKENS, 10],
      [Meter.CACHE_WRITE_TOKENS, 4],
      [Meter.OUTPUT_TOKENS, 15],
      [Meter.REASONING_TOKENS, 5],
    ]);
  });

  it("takes an incomplete response for an answer", () => {
    expect(read({ status: "incomplete", output: OUTPUT, usage: null }).failure).toBeUndefined();
  });

  it("takes a failed response for a failure", () => {
    const { failure } = read({ status: "failed", error: { code: "server_error", message: "No" }, output: [] });

    expect(failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
  });

  it("takes a failed response without an error for a failure, too", () => {
    expect(read({ status: "failed", output: [] }).failure?.elsewhere).toBe(true);
  });

  it.each([
    ["no object", "[]"],
    ["no output", "{}"],
    ["no JSON", "{"],
    ["no UTF-8", "\xff"],
  ])("takes what is %s for malformed", (_case, text) => {
    expect(readAnswer(Buffer.from(text, "latin1")).failure).toMatchObject({
      reason: "PROVIDER_FAILED",
      elsewhere: true,
    });
  });

  it("counts no usage that says that an answer took no tokens", () => {
    expect(read({ output: OUTPUT, usage: { input_tokens: 3, output_tokens: 0 } }).quantities).toBeUndefined();
  });
});
