import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CandidateSchema, StopReason, UsageSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { StreamResponseSchema } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { composeAnswer } from "./write-answer.ts";
import { ChatCompletionsWriter } from "./write-stream.ts";

const FACTS = { eventId: "e1", model: "small", createdAtS: 7, wantsUsage: true, inputTokens: 0 };
const USAGE = create(UsageSchema, {
  lines: [
    { meter: Meter.INPUT_TOKENS, quantity: 5n },
    { meter: Meter.CACHED_INPUT_TOKENS, quantity: 3n },
    { meter: Meter.CACHE_WRITE_TOKENS, quantity: 2n },
    { meter: Meter.OUTPUT_TOKENS, quantity: 4n },
    { meter: Meter.REASONING_TOKENS, quantity: 6n },
  ],
});
const OPENAI_USAGE = {
  prompt_tokens: 10,
  completion_tokens: 10,
  total_tokens: 20,
  prompt_tokens_details: { cached_tokens: 3, cache_write_tokens: 2 },
  completion_tokens_details: { reasoning_tokens: 6 },
};

type Init = Parameters<typeof create<typeof StreamResponseSchema>>[1];
const piece = (init: NonNullable<Init>["piece"]) => create(StreamResponseSchema, { piece: init! }).piece;
const started = (index: number, content: object, candidate = 0) =>
  piece({ case: "blockStarted", value: { candidate, index, block: { content: content as never } } });
const grown = (index: number, delta: object, candidate = 0) =>
  piece({ case: "blockDelta", value: { candidate, index, delta: delta as never } });
const stopped = (stopReason: StopReason, candidate = 0) =>
  piece({ case: "candidateStopped", value: { candidate, stopReason } });

function write(pieces: ReturnType<typeof piece>[], wantsUsage = true) {
  const writer = new ChatCompletionsWriter({ ...FACTS, wantsUsage });
  const text = pieces.map((one) => writer.write([one]).toString()).join("") + writer.end(USAGE).toString();
  const events = text.split("\n\n").filter((event) => event !== "");
  expect(events.pop()).toBe("data: [DONE]");
  return events.map((event) => JSON.parse(event.slice("data: ".length)));
}

describe("ChatCompletionsWriter", () => {
  it("writes the role first, each kind of content in its field, one finish, and the usage last", () => {
    const chunks = write([
      started(0, { case: "reasoning", value: {} }),
      grown(0, { case: "text", value: "hm" }),
      grown(0, { case: "signature", value: "c2ln" }),
      started(1, { case: "text", value: {} }),
      grown(1, { case: "text", value: "Hel" }),
      started(2, { case: "toolUse", value: { id: "t1", name: "f" } }),
      grown(2, { case: "inputJson", value: '{"a' }),
      started(3, { case: "toolUse", value: { id: "t2", name: "g" } }),
      grown(3, { case: "inputJson", value: "{}" }),
      grown(2, { case: "inputJson", value: '":1}' }),
      stopped(StopReason.TOOL_USE),
      stopped(StopReason.TOOL_USE),
    ]);

    const call = (index: number, id: string, name: string) => ({
      tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }],
    });
    const more = (index: number, text: string) => ({ tool_calls: [{ index, function: { arguments: text } }] });
    expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: "assistant", content: "" },
      { reasoning_content: "hm", reasoning_details: [{ index: 0, type: "reasoning.text", text: "hm" }] },
      { reasoning_details: [{ index: 0, type: "reasoning.text", signature: "~weir-signature:c2ln" }] },
      { content: "Hel" },
      call(0, "t1", "f"),
      more(0, '{"a'),
      call(1, "t2", "g"),
      more(1, "{}"),
      more(0, '":1}'),
      {},
      undefined,
    ]);
    expect(chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? [])).toEqual(["tool_calls"]);
    expect(chunks.map(({ usage }) => usage)).toEqual([...Array(10).fill(null), OPENAI_USAGE]);
    expect(chunks[0]).toMatchObject({ id: "chatcmpl-e1", object: "chat.completion.chunk", created: 7, model: "small" });
  });

  it("keeps candidates apart", () => {
    const chunks = write(
      [
        started(0, { case: "text", value: {} }),
        started(0, { case: "refusal", value: {} }, 1),
        grown(0, { case: "text", value: "a" }),
        grown(0, { case: "text", value: "no" }, 1),
        stopped(StopReason.END),
        stopped(StopReason.REFUSED, 1),
      ],
      false,
    );

    expect(chunks.map(({ choices: [one] }) => [one.index, one.delta, one.finish_reason])).toEqual([
      [0, { role: "assistant", content: "" }, null],
      [1, { role: "assistant", content: "" }, null],
      [0, { content: "a" }, null],
      [1, { refusal: "no" }, null],
      [0, {}, "stop"],
      [1, {}, "content_filter"],
    ]);
    expect(chunks.some((chunk) => "usage" in chunk)).toBe(false);
  });
});

describe("composeAnswer()", () => {
  it("writes each kind of content in its field, and signatures where they are read back from", () => {
    const candidate = create(CandidateSchema, {
      index: 0,
      stopReason: StopReason.MAX_OUTPUT_TOKENS,
      blocks: [
        { content: { case: "reasoning", value: { text: "hm", signature: "c2ln" } } },
        { content: { case: "reasoning", value: { redacted: "eHh4" } } },
        { content: { case: "text", value: { text: "Hello" } } },
        { content: { case: "toolUse", value: { id: "t1", name: "f", inputJson: "" } } },
      ],
    });

    const answer = JSON.parse(composeAnswer({ providerModel: "m", candidates: [candidate] }, USAGE, FACTS).toString());

    expect(answer.choices).toEqual([
      {
        index: 0,
        message: {
          role: "assistant",
          content: "Hello",
          refusal: null,
          reasoning_content: "hm",
          reasoning_details: [
            { index: 0, type: "reasoning.text", text: "hm", signature: "~weir-signature:c2ln" },
            { index: 1, type: "reasoning.encrypted", data: "~weir-redacted:eHh4" },
          ],
          tool_calls: [{ id: "t1", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        logprobs: null,
        finish_reason: "length",
      },
    ]);
    expect(answer.usage).toEqual(OPENAI_USAGE);
  });
});
