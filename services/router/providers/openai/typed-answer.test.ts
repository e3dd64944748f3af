import { describe, expect, it } from "vitest";
import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { toTypedAnswer } from "./typed-answer.ts";

describe("toTypedAnswer()", () => {
  it("makes blocks of content, reasoning, refusal and tool calls, and keeps what it does not know", () => {
    const message = {
      role: "assistant",
      content: "Hello",
      reasoning_content: "hm",
      refusal: null,
      tool_calls: [{ id: "t1", type: "function", function: { name: "f", arguments: "{" } }],
      annotations: [1],
    };
    const body = {
      id: "c",
      model: "m",
      choices: [{ index: 1, message, logprobs: null, finish_reason: "length" }],
      usage: {},
    };

    const { providerModel, candidates, extras } = toTypedAnswer(Buffer.from(JSON.stringify(body)));

    expect(providerModel).toBe("m");
    expect(extras).toEqual({ id: "c" });
    expect(candidates).toMatchObject([
      {
        index: 1,
        stopReason: StopReason.MAX_OUTPUT_TOKENS,
        providerStopReason: "length",
        extras: { annotations: [1] },
      },
    ]);
    expect(candidates[0]?.blocks.map(({ content }) => [content.case, content.value])).toMatchObject([
      ["reasoning", { text: "hm" }],
      ["text", { text: "Hello" }],
      ["toolUse", { id: "t1", name: "f", inputJson: "{" }],
    ]);
  });

  it("takes a model's refusal for why it stopped", () => {
    const message = { role: "assistant", content: null, refusal: "I can't" };
    const body = { model: "m", choices: [{ index: 0, message, finish_reason: "stop" }] };

    const { candidates } = toTypedAnswer(Buffer.from(JSON.stringify(body)));

    expect(candidates).toMatchObject([{ stopReason: StopReason.REFUSED, providerStopReason: "stop" }]);
  });
});
