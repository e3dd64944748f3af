import { describe, expect, it } from "vitest";
import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { readAnswer } from "./answer.ts";
import { toTypedAnswer } from "./typed-answer.ts";

const USAGE = { inputTokens: 7, outputTokens: 3, totalTokens: 15, cacheReadInputTokens: 4, cacheWriteInputTokens: 1 };
const write = (content: unknown, more: object = {}) => ({
  output: { message: { role: "assistant", content } },
  stopReason: "end_turn",
  usage: USAGE,
  ...more,
});
const read = (answer: unknown) => readAnswer(Buffer.from(JSON.stringify(answer)));

describe("readAnswer()", () => {
  it("reads usage, whose meters are disjoint already", () => {
    const { failure, quantities, textBytes } = read(write([{ text: "Grüße" }]));

    expect(failure).toBeUndefined();
    expect(textBytes).toBe(7);
    expect([...quantities!]).toEqual([
      [Meter.INPUT_TOKENS, 7],
      [Meter.CACHED_INPUT_TOKENS, 4],
      [Meter.CACHE_WRITE_TOKENS, 1],
      [Meter.OUTPUT_TOKENS, 3],
      [Meter.REASONING_TOKENS, 0],
    ]);
  });

  it.each([
    ["missing", undefined],
    ["broken", { inputTokens: 1.5, outputTokens: 1 }],
    ["absurd", { inputTokens: 1e12, outputTokens: 1 }],
    ["nothing for an answer with text", { inputTokens: 1, outputTokens: 0 }],
  ])("takes no usage that is %s", (_name, usage) => {
    expect(read(write([{ text: "x" }], { usage })).quantities).toBeUndefined();
  });

  it.each([
    ["no object", []],
    ["no message", { stopReason: "end_turn" }],
    ["no stop reason", { output: { message: { content: [] } } }],
    ["an error", { message: "Internal server error" }],
  ])("fails on %s", (_name, answer) => {
    expect(read(answer).failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
  });

  it("fails on an answer that is nested without end", () => {
    const body = Buffer.from(`{"output":${"[".repeat(100_000)}${"]".repeat(100_000)}}`);

    expect(readAnswer(body).failure).toMatchObject({ reason: "PROVIDER_FAILED" });
  });
});

describe("toTypedAnswer()", () => {
  it("makes blocks of all that has a typed form, and keeps the rest", () => {
    const video = { video: { format: "mp4", source: { bytes: "AQID" } } };
    const citations = [{ title: "t", location: { documentChar: { documentIndex: 0, start: 0, end: 1 } } }];
    const answer = write(
      [
        { reasoningContent: { reasoningText: { text: "hm", signature: "s+/=" } } },
        { reasoningContent: { redactedContent: "RXRD" } },
        { text: "Hello" },
        { citationsContent: { content: [{ text: "a" }, { text: "b" }], citations } },
        { image: { format: "png", source: { bytes: "AQID" } } },
        { toolUse: { toolUseId: "t1", name: "f", input: { a: [1] } } },
        video,
      ],
      { stopReason: "guardrail_intervened", trace: { guardrail: {} }, metrics: { latencyMs: 1 } },
    );

    const { candidates, extras, providerModel } = toTypedAnswer(Buffer.from(JSON.stringify(answer)));

    expect(providerModel).toBe("");
    expect(extras).toEqual({ trace: { guardrail: {} }, metrics: { latencyMs: 1 } });
    expect(candidates).toMatchObject([
      {
        index: 0,
        stopReason: StopReason.FILTERED,
        providerStopReason: "guardrail_intervened",
        extras: { content: [video] },
      },
    ]);
    expect(candidates[0]!.blocks.map(({ content, extras: kept }) => [content, kept])).toMatchObject([
      [{ case: "reasoning", value: { text: "hm", signature: "s+/=", redacted: "" } }, undefined],
      [{ case: "reasoning", value: { text: "", signature: "", redacted: "RXRD" } }, undefined],
      [{ case: "text", value: { text: "Hello" } }, undefined],
      [{ case: "text", value: { text: "ab" } }, { citations }],
      [{ case: "image", value: { mediaType: "image/png", source: { value: Buffer.from([1, 2, 3]) } } }, undefined],
      [{ case: "toolUse", value: { id: "t1", name: "f", inputJson: '{"a":[1]}' } }, undefined],
    ]);
  });

  it("keeps the digits of a tool's input", () => {
    const text =
      '{"output":{"message":{"content":[{"toolUse":{"toolUseId":"t","name":"f","input":{"id":12345678901234567890}}}]}}}';

    const { candidates } = toTypedAnswer(Buffer.from(text));

    expect(candidates[0]!.blocks[0]!.content.value).toMatchObject({ inputJson: '{"id":12345678901234567890}' });
  });

  it.each([
    ["end_turn", StopReason.END],
    ["stop_sequence", StopReason.STOP_SEQUENCE],
    ["max_tokens", StopReason.MAX_OUTPUT_TOKENS],
    ["model_context_window_exceeded", StopReason.MAX_OUTPUT_TOKENS],
    ["tool_use", StopReason.TOOL_USE],
    ["content_filtered", StopReason.FILTERED],
    ["malformed_tool_use", StopReason.OTHER],
    ["constructor", StopReason.OTHER],
  ])("says in Weir's words why it ended: %s", (stopReason, expected) => {
    const { candidates } = toTypedAnswer(Buffer.from(JSON.stringify(write([], { stopReason }))));

    expect(candidates[0]).toMatchObject({ stopReason: expected, providerStopReason: stopReason });
  });
});
