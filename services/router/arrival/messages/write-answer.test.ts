import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type BlockSchema, CandidateSchema, StopReason, UsageSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { composeAnswer } from "./write-answer.ts";

const FACTS = { eventId: "01-02", model: "big", createdAtS: 1, wantsUsage: true, inputTokens: 3 };
const line = (meter: Meter, quantity: bigint) => ({ meter, quantity, pricePerMillion: 0n });
const USAGE = create(UsageSchema, {
  lines: [
    line(Meter.INPUT_TOKENS, 5n),
    line(Meter.CACHED_INPUT_TOKENS, 6n),
    line(Meter.CACHE_WRITE_TOKENS, 7n),
    line(Meter.OUTPUT_TOKENS, 8n),
    line(Meter.REASONING_TOKENS, 9n),
  ],
});

function write(blocks: MessageInitShape<typeof BlockSchema>[], stopReason: StopReason = StopReason.END) {
  const candidates = [create(CandidateSchema, { blocks, stopReason })];
  return JSON.parse(composeAnswer({ providerModel: "x", candidates }, USAGE, FACTS).toString());
}
const text = (value: string) => ({ content: { case: "text" as const, value: { text: value } } });

describe("composeAnswer()", () => {
  it("writes a message with its usage as Anthropic counts it", () => {
    expect(write([text("hi")])).toEqual({
      id: "msg_0102",
      type: "message",
      role: "assistant",
      model: "big",
      content: [{ type: "text", text: "hi" }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: {
        input_tokens: 5,
        cache_creation_input_tokens: 7,
        cache_read_input_tokens: 6,
        output_tokens: 17,
        output_tokens_details: { thinking_tokens: 9 },
      },
    });
  });

  it("writes thinking with its signature, what is hidden of it, and tool uses", () => {
    const { content } = write([
      { content: { case: "reasoning", value: { text: "hm", signature: "s==" } } },
      { content: { case: "reasoning", value: { redacted: "zz" } } },
      { content: { case: "toolUse", value: { id: "t1", name: "f", inputJson: '{"a":1}' } } },
      { content: { case: "toolUse", value: { id: "", name: "g", inputJson: "" } } },
      { content: { case: "toolUse", value: { id: "t3", name: "h", inputJson: '{"a":' } } },
    ]);

    expect(content).toEqual([
      { type: "thinking", thinking: "hm", signature: "s==" },
      { type: "redacted_thinking", data: "zz" },
      { type: "tool_use", id: "t1", name: "f", input: { a: 1 } },
      { type: "tool_use", id: "toolu_0102_3", name: "g", input: {} },
      { type: "tool_use", id: "t3", name: "h", input: { INVALID_JSON: '{"a":' } },
    ]);
  });

  it("leaves out what could not be sent back", () => {
    expect(write([text(""), text("a")]).content).toEqual([{ type: "text", text: "a" }]);
  });

  it.each([
    [StopReason.END, "end_turn"],
    [StopReason.STOP_SEQUENCE, "stop_sequence"],
    [StopReason.MAX_OUTPUT_TOKENS, "max_tokens"],
    [StopReason.TOOL_USE, "tool_use"],
    [StopReason.FILTERED, "refusal"],
    [StopReason.REFUSED, "refusal"],
    [StopReason.PAUSED, "pause_turn"],
    [StopReason.OTHER, "end_turn"],
  ])("writes the stop reason %i as %s", (reason, word) => {
    expect(write([text("a")], reason).stop_reason).toBe(word);
  });

  it("says that a tool is to be used when the provider calls that an end", () => {
    const block = { content: { case: "toolUse" as const, value: { id: "t", name: "f", inputJson: "{}" } } };

    expect(write([block], StopReason.END).stop_reason).toBe("tool_use");
  });
});
