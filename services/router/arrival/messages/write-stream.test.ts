import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type Block, BlockSchema, StopReason, UsageSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import {
  BlockDeltaSchema,
  BlockStartedSchema,
  BlockStoppedSchema,
  CandidateStoppedSchema,
  type StreamResponse,
} from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { AnthropicPieceReader } from "../../providers/anthropic/pieces.ts";
import { AnthropicStreamReader } from "../../providers/anthropic/stream.ts";
import { STREAMS, writeStream } from "../../providers/anthropic/streams.fixture.ts";
import { MessagesWriter } from "./write-stream.ts";

type Piece = StreamResponse["piece"];
type Written = { readonly type: string; readonly index?: number; readonly [member: string]: unknown };

const FACTS = { eventId: "01-02", model: "big", createdAtS: 1, wantsUsage: true, inputTokens: 3 };
const USAGE = create(UsageSchema, {
  lines: [
    { meter: Meter.INPUT_TOKENS, quantity: 5n },
    { meter: Meter.OUTPUT_TOKENS, quantity: 8n },
  ],
});
const started = (index: number, content: Block["content"], candidate = 0): Piece => ({
  case: "blockStarted",
  value: create(BlockStartedSchema, { candidate, index, block: create(BlockSchema, { content }) }),
});
const grown = (index: number, kind: "text" | "inputJson" | "signature", value: string): Piece => ({
  case: "blockDelta",
  value: create(BlockDeltaSchema, { index, delta: { case: kind, value } }),
});
const stopped = (index: number): Piece => ({ case: "blockStopped", value: create(BlockStoppedSchema, { index }) });
const ended = (stopReason: StopReason): Piece => ({
  case: "candidateStopped",
  value: create(CandidateStoppedSchema, { stopReason }),
});
const empty = (kind: "text" | "reasoning" | "toolUse", value: object = {}) =>
  create(BlockSchema, { content: { case: kind, value } as Block["content"] }).content;

/** Events as written, each checked to be named as its type is. */
function parse(bytes: Buffer): Written[] {
  return bytes
    .toString()
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => {
      const match = /^event: (\S+)\ndata: (.*)$/.exec(event);
      const data = JSON.parse(match?.[2] ?? "") as Written;
      expect(data.type).toBe(match?.[1]);
      return data;
    });
}

function write(pieces: readonly Piece[]) {
  const writer = new MessagesWriter(FACTS);
  const events = pieces.flatMap((piece) => parse(writer.write([piece])));
  return [...events, ...parse(writer.end(USAGE, undefined))];
}
const names = (events: readonly Written[]) =>
  events.map(({ type, index }) => (index === undefined ? type : `${type} ${index}`));

describe("MessagesWriter", () => {
  it("writes a text in the order that clients expect, input tokens first and the usage last", () => {
    const events = write([
      started(0, empty("text")),
      grown(0, "text", "a"),
      grown(0, "text", "b"),
      stopped(0),
      ended(StopReason.END),
    ]);

    expect(names(events)).toEqual([
      "message_start",
      "content_block_start 0",
      "content_block_delta 0",
      "content_block_delta 0",
      "content_block_stop 0",
      "message_delta",
      "message_stop",
    ]);
    expect(events[0]?.message).toMatchObject({ id: "msg_0102", model: "big", content: [], usage: { input_tokens: 3 } });
    expect(events[5]).toMatchObject({
      delta: { stop_reason: "end_turn", stop_sequence: null },
      usage: { input_tokens: 5, output_tokens: 8 },
    });
  });

  it("writes tool uses that grow side by side one after the other, with all of their input", () => {
    const events = write([
      started(0, empty("toolUse", { id: "t1", name: "f" })),
      started(1, empty("toolUse", { id: "t2", name: "g" })),
      grown(1, "inputJson", '{"b":'),
      grown(0, "inputJson", '{"a":1}'),
      grown(1, "inputJson", "2}"),
      stopped(0),
      stopped(1),
      ended(StopReason.END),
    ]);

    expect(names(events).slice(1, -2)).toEqual([
      "content_block_start 0",
      "content_block_delta 0",
      "content_block_stop 0",
      "content_block_start 1",
      "content_block_delta 1",
      "content_block_delta 1",
      "content_block_stop 1",
    ]);
    expect(events.at(-2)).toMatchObject({ delta: { stop_reason: "tool_use" } });
  });

  it("writes no block that says nothing", () => {
    const events = write([
      started(0, empty("text")),
      stopped(0),
      started(1, empty("text")),
      grown(1, "text", "a"),
      stopped(1),
    ]);

    expect(names(events).slice(1, -2)).toEqual([
      "content_block_start 0",
      "content_block_delta 0",
      "content_block_stop 0",
    ]);
  });

  it("writes an empty answer", () => {
    expect(names(write([]))).toEqual(["message_start", "message_delta", "message_stop"]);
  });

  it("closes what a provider left open", () => {
    expect(names(write([started(0, empty("text")), grown(0, "text", "a")])).slice(-3)).toEqual([
      "content_block_stop 0",
      "message_delta",
      "message_stop",
    ]);
  });

  it("leaves out other candidates, which the format has no place for", () => {
    expect(names(write([started(0, empty("text"), 1)]))).toEqual(["message_start", "message_delta", "message_stop"]);
  });

  it.each(["text", "tools", "thinking"] as const)("writes the blocks of %s again as a provider wrote them", (name) => {
    const reader = new AnthropicPieceReader();
    const bytes = new AnthropicStreamReader().read(Buffer.from(writeStream(STREAMS[name])));

    const events = write([...reader.read(bytes!), ...reader.end()]);

    expect(rebuild(events)).toEqual(rebuild(STREAMS[name]));
  });
});

/** The content that a client makes of the events. */
function rebuild(events: readonly Written[]) {
  const content: Record<string, string>[] = [];
  for (const event of events) {
    if (event.type === "content_block_start")
      content.push({ ...(event.content_block as Record<string, string>), json: "" });
    if (event.type !== "content_block_delta") continue;
    const { type: _, ...delta } = event.delta as Record<string, string>;
    const block = content[event.index!]!;
    for (const [member, text] of Object.entries(delta)) {
      const name = member === "partial_json" ? "json" : member;
      block[name] = (block[name] ?? "") + text;
    }
  }
  return content.map(({ json, ...block }) => (block.type === "tool_use" ? { ...block, input: json || "{}" } : block));
}
