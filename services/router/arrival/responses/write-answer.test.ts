import { create, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlockSchema, StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { anyBlocks, FACTS, reasoning, refusal, text, toAnswer, toolUse, USAGE } from "./blocks.fixture.ts";
import { readItems } from "./read-items.ts";
import { composeAnswer } from "./write-answer.ts";

function write(...[blocks, stopReason]: Parameters<typeof toAnswer>) {
  return JSON.parse(composeAnswer(toAnswer(blocks, stopReason), USAGE, FACTS).toString());
}

describe("composeAnswer()", () => {
  it("writes a response with its text as a message", () => {
    const response = write([text("Nine "), text("metres.")], StopReason.END);

    expect(response).toMatchObject({
      id: "resp_01890a5dac96774bbcceb302099a8057",
      object: "response",
      created_at: 1_770_000_000,
      status: "completed",
      model: "large",
      error: null,
      incomplete_details: null,
    });
    expect(response.output).toEqual([
      {
        id: "msg_01890a5dac96774bbcceb302099a80570000",
        type: "message",
        status: "completed",
        role: "assistant",
        content: [
          { type: "output_text", text: "Nine ", annotations: [], logprobs: [] },
          { type: "output_text", text: "metres.", annotations: [], logprobs: [] },
        ],
      },
    ]);
  });

  it("counts cached and written tokens among the input's and reasoning among the output's", () => {
    expect(write([text("x")], StopReason.END).usage).toEqual({
      input_tokens: 30,
      input_tokens_details: { cached_tokens: 7, cache_write_tokens: 3 },
      output_tokens: 20,
      output_tokens_details: { reasoning_tokens: 5 },
      total_tokens: 50,
    });
  });

  it("writes reasoning, calls of functions and what is said between them as items of their own", () => {
    const blocks = [reasoning({ text: "Hm", signature: "s==" }), text("I measure"), toolUse("call_1", "measure", "{}")];

    const { output } = write(blocks, StopReason.TOOL_USE);

    expect(output).toMatchObject([
      { type: "reasoning", summary: [{ type: "summary_text", text: "Hm" }], encrypted_content: "~weir-signature:s==" },
      { type: "message", content: [{ text: "I measure" }] },
      { type: "function_call", call_id: "call_1", name: "measure", arguments: "{}", status: "completed" },
    ]);
  });

  it.each([
    [StopReason.MAX_OUTPUT_TOKENS, "max_output_tokens"],
    [StopReason.FILTERED, "content_filter"],
    [StopReason.REFUSED, "content_filter"],
    [StopReason.PAUSED, "paused"],
  ])("is incomplete when it stopped for reason %i", (stopReason, reason) => {
    const response = write([text("a"), toolUse("1", "f", ""), text("b")], stopReason);

    expect(response).toMatchObject({ status: "incomplete", incomplete_details: { reason } });
    expect(response.output.map(({ status }: { status: string }) => status)).toEqual([
      "completed",
      "completed",
      "incomplete",
    ]);
  });

  it("is complete when the model says that it declines", () => {
    expect(write([refusal("No")], StopReason.REFUSED)).toMatchObject({
      status: "completed",
      output: [{ content: [{ type: "refusal", refusal: "No" }] }],
    });
  });

  it("gives a call an id whose provider gave none", () => {
    expect(write([toolUse("", "f", "{}")], StopReason.TOOL_USE).output[0].call_id).toMatch(/^call_01890a5d/);
  });

  it("gives a picture as the tool that makes pictures does", () => {
    const image = create(BlockSchema, {
      content: {
        case: "image",
        value: { source: { case: "content", value: Buffer.from("png") }, mediaType: "image/png" },
      },
    });

    expect(write([image], StopReason.END).output).toMatchObject([{ type: "image_generation_call", result: "cG5n" }]);
  });

  it("keeps what only a provider knows of a call, for when it comes back", () => {
    const block = toolUse("call_1", "measure", "{}");
    block.extras = { thoughtSignature: "abc" };

    const { output } = write([block], StopReason.TOOL_USE);

    expect(readItems(output)[0]?.blocks[0]?.extras).toEqual({ thoughtSignature: "abc" });
  });

  it("gives the same blocks when its items are sent back as input", () => {
    fc.assert(
      fc.property(anyBlocks, (blocks) => {
        fc.pre(blocks.length > 0);

        const messages = readItems(write(blocks, StopReason.END).output);

        const back = messages.flatMap((message) => message.blocks);
        expect(messages.length).toBeLessThanOrEqual(1);
        expect(back.map((block) => toJson(BlockSchema, block))).toEqual(
          blocks.map((block) => toJson(BlockSchema, block)),
        );
      }),
    );
  });
});
