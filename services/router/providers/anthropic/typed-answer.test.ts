import { describe, expect, it } from "vitest";
import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { toTypedAnswer } from "./typed-answer.ts";

const read = (answer: object) => toTypedAnswer(Buffer.from(JSON.stringify(answer)));

describe("toTypedAnswer()", () => {
  it("reads blocks of every kind, signatures byte for byte", () => {
    const { candidates, providerModel, extras } = read({
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "claude-opus-5-5",
      content: [
        { type: "thinking", thinking: "hm", signature: "Eq/+==" },
        { type: "redacted_thinking", data: "zz" },
        { type: "text", text: "hi", citations: [{ type: "char_location" }] },
        { type: "tool_use", id: "t", name: "f", input: { a: 1 }, caller: { type: "direct" } },
        { type: "server_tool_use", id: "s", name: "web_search", input: { q: "x" } },
      ],
      stop_reason: "stop_sequence",
      stop_sequence: "END",
      usage: { input_tokens: 1, output_tokens: 1 },
      container: null,
    });

    expect(providerModel).toBe("claude-opus-5-5");
    expect(extras).toEqual({ id: "msg_1" });
    expect(candidates[0]).toMatchObject({ stopReason: StopReason.STOP_SEQUENCE, extras: { stop_sequence: "END" } });
    expect(
      candidates[0]?.blocks.map(({ content: { case: kind, value }, extras: rest }) => [kind, value, rest]),
    ).toMatchObject([
      ["reasoning", { text: "hm", signature: "Eq/+==", redacted: "" }, undefined],
      ["reasoning", { text: "", redacted: "zz" }, undefined],
      ["text", { text: "hi" }, { citations: [{ type: "char_location" }] }],
      ["toolUse", { id: "t", name: "f", inputJson: '{"a":1}' }, { caller: { type: "direct" } }],
      ["text", { text: "" }, { type: "server_tool_use", id: "s", name: "web_search", input: { q: "x" } }],
    ]);
  });

  it.each([
    ["end_turn", StopReason.END],
    ["max_tokens", StopReason.MAX_OUTPUT_TOKENS],
    ["model_context_window_exceeded", StopReason.MAX_OUTPUT_TOKENS],
    ["tool_use", StopReason.TOOL_USE],
    ["pause_turn", StopReason.PAUSED],
    ["refusal", StopReason.REFUSED],
    ["something_new", StopReason.OTHER],
    [null, StopReason.OTHER],
  ])("reads the stop reason %s", (word, reason) => {
    expect(read({ content: [], stop_reason: word }).candidates[0]?.stopReason).toBe(reason);
  });

  it("takes any shape", () => {
    for (const content of [null, "x", [null, 5, "x", {}], {}]) expect(() => read({ content })).not.toThrow();
  });
});
