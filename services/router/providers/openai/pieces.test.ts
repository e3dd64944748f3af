import { describe, expect, it } from "vitest";
import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { OpenAiPieceReader } from "./pieces.ts";

describe("OpenAiPieceReader", () => {
  const event = (delta: object, finish: string | null = null, index = 0) =>
    Buffer.from(
      `data: ${JSON.stringify({ id: "c", model: "m", choices: [{ index, delta, finish_reason: finish }] })}\n\n`,
    );
  const tell = (pieces: StreamResponse["piece"][]) =>
    pieces.map((piece) => {
      if (piece.case === "blockStarted")
        return `start ${piece.value.candidate}.${piece.value.index} ${piece.value.block?.content.case}`;
      if (piece.case === "blockDelta")
        return `${piece.value.candidate}.${piece.value.index} ${piece.value.delta.value}`;
      if (piece.case === "blockStopped") return `stop ${piece.value.candidate}.${piece.value.index}`;
      if (piece.case === "candidateStopped") return `end ${piece.value.candidate} ${piece.value.providerStopReason}`;
      return String(piece.case);
    });

  it("begins a block where another kind of content does, and ends it where the next begins", () => {
    const reader = new OpenAiPieceReader();

    const pieces = [
      event({ role: "assistant", content: "" }),
      event({ reasoning_content: "hm" }),
      event({ content: "Hel" }),
      event({ content: "lo" }),
      event({ tool_calls: [{ index: 0, id: "t1", function: { name: "f", arguments: "" } }] }),
      event({ tool_calls: [{ index: 0, function: { arguments: '{"a' } }] }),
      event({ tool_calls: [{ index: 1, id: "t2", function: { name: "g", arguments: "{}" } }] }),
      event({ tool_calls: [{ index: 0, function: { arguments: '":1}' } }] }),
      event({}, "tool_calls"),
      Buffer.from("data: [DONE]\n\n"),
    ].flatMap((bytes) => reader.read(bytes));

    expect(tell([...pieces, ...reader.end()])).toEqual([
      "start 0.0 reasoning",
      "0.0 hm",
      "stop 0.0",
      "start 0.1 text",
      "0.1 Hel",
      "0.1 lo",
      "stop 0.1",
      "start 0.2 toolUse",
      '0.2 {"a',
      "start 0.3 toolUse",
      "0.3 {}",
      '0.2 ":1}',
      "stop 0.2",
      "stop 0.3",
      "end 0 tool_calls",
    ]);
    expect(reader.providerModel).toBe("m");
  });

  it("goes on while the reason of the end is empty, as some servers send it", () => {
    const reader = new OpenAiPieceReader();

    const pieces = [event({ role: "assistant", content: "Hel" }, ""), event({ content: "lo" }, ""), event({}, "stop")];

    expect(tell(pieces.flatMap((bytes) => reader.read(bytes)))).toEqual([
      "start 0.0 text",
      "0.0 Hel",
      "0.0 lo",
      "stop 0.0",
      "end 0 stop",
    ]);
  });

  it.each([
    ["no number", {}],
    ["the same number", { index: 0 }],
  ])("keeps uses of tools apart that come in events of their own with %s", (_, numbered) => {
    const reader = new OpenAiPieceReader();
    const use = (id: string, name: string, input: string) =>
      event({ tool_calls: [{ ...numbered, id, function: { name, arguments: input } }] });

    const pieces = [
      use("t1", "f", '{"a":1}'),
      use("t2", "g", '{"b":'),
      use("t2", "g", "2}"),
      event({}, "tool_calls"),
    ].flatMap((bytes) => reader.read(bytes));

    expect(tell(pieces)).toEqual([
      "start 0.0 toolUse",
      '0.0 {"a":1}',
      "start 0.1 toolUse",
      '0.1 {"b":',
      "0.1 2}",
      "stop 0.0",
      "stop 0.1",
      "end 0 tool_calls",
    ]);
  });

  it("keeps candidates apart, and ends those that the provider did not", () => {
    const reader = new OpenAiPieceReader();

    const pieces = [event({ content: "a" }, null, 0), event({ content: "b" }, null, 1), event({}, "stop", 1)].flatMap(
      (bytes) => reader.read(bytes),
    );

    expect(tell([...pieces, ...reader.end()])).toEqual([
      "start 0.0 text",
      "0.0 a",
      "start 1.0 text",
      "1.0 b",
      "stop 1.0",
      "end 1 stop",
      "stop 0.0",
      "end 0 ",
    ]);
  });

  it("takes a model's refusal for why it stopped", () => {
    const reader = new OpenAiPieceReader();

    const pieces = [event({ refusal: "I can't" }), event({}, "stop")].flatMap((bytes) => reader.read(bytes));

    expect(pieces.at(-1)?.value).toMatchObject({ stopReason: StopReason.REFUSED, providerStopReason: "stop" });
  });
});
