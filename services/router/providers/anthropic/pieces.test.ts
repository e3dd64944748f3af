import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { AnthropicPieceReader } from "./pieces.ts";
import { AnthropicStreamReader } from "./stream.ts";
import { cut, STREAMS, writeStream } from "./streams.fixture.ts";

function read(reads: readonly Buffer[]) {
  const stream = new AnthropicStreamReader();
  const reader = new AnthropicPieceReader();
  const pieces: StreamResponse["piece"][] = [];
  for (const bytes of reads) {
    const through = stream.read(Buffer.from(bytes));
    if (through) pieces.push(...reader.read(through));
  }
  pieces.push(...reader.end());
  return { reader, pieces };
}
const readStream = (events: Parameters<typeof writeStream>[0]) => read([Buffer.from(writeStream(events))]);

/** What the deltas of a block add up to. */
function gather(pieces: readonly StreamResponse["piece"][], block: number) {
  const said = { text: "", inputJson: "", signature: "" };
  for (const piece of pieces) {
    if (piece.case !== "blockDelta" || piece.value.index !== block || piece.value.delta.case === undefined) continue;
    said[piece.value.delta.case] += piece.value.delta.value;
  }
  return said;
}

describe("AnthropicPieceReader", () => {
  it("makes a text of its block", () => {
    const { reader, pieces } = readStream(STREAMS.text);

    expect(pieces.map((piece) => piece.case)).toEqual([
      "blockStarted",
      "blockDelta",
      "blockDelta",
      "blockStopped",
      "candidateStopped",
    ]);
    expect(gather(pieces, 0).text).toBe('Grüße 🌊 "usage":null');
    expect(pieces.at(-1)?.value).toMatchObject({ stopReason: StopReason.END, providerStopReason: "end_turn" });
    expect(reader.providerModel).toBe("claude-opus-5-5");
  });

  it("makes tool uses, with their numbers as they were and an empty object where there is no input", () => {
    const { pieces } = readStream(STREAMS.tools);

    expect(gather(pieces, 1).inputJson).toBe('{"location": "San Francisco", "station": 12345678901234567890}');
    expect(gather(pieces, 2).inputJson).toBe("{}");
    expect(pieces).toContainEqual(
      expect.objectContaining({
        case: "blockStarted",
        value: expect.objectContaining({
          index: 2,
          block: expect.objectContaining({
            content: { case: "toolUse", value: expect.objectContaining({ id: "toolu_02", name: "get_time" }) },
          }),
        }),
      }),
    );
    expect(pieces.at(-1)?.value).toMatchObject({ stopReason: StopReason.TOOL_USE });
  });

  it("keeps thinking, its signature and what is hidden of it byte for byte", () => {
    const { pieces } = readStream(STREAMS.thinking);
    const signature = STREAMS.thinking[4].delta as { readonly signature?: unknown };

    expect(gather(pieces, 0)).toEqual({
      text: "First, gcd(1071, 462).",
      inputJson: "",
      signature: signature.signature,
    });
    expect(JSON.stringify(pieces)).toContain('"redacted":"EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw"');
  });

  it("tells what has no typed form in extras, whole", () => {
    const { reader, pieces } = readStream(STREAMS.search);
    const started = pieces.flatMap((piece) => (piece.case === "blockStarted" ? [piece.value.block] : []));

    expect(started.map((block) => block?.extras?.type)).toEqual([
      "server_tool_use",
      "web_search_tool_result",
      undefined,
    ]);
    expect(started[0]?.extras).toMatchObject({ input: { query: "weather" } });
    expect(reader.extras?.citations).toEqual([
      { type: "web_search_result_location", url: "https://example.com", block: 2 },
    ]);
  });

  it("gives the same pieces whatever the reads are", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.constantFrom(...Object.values(STREAMS)), sizes, (events, pattern) => {
        const { pieces } = read(cut(Buffer.from(writeStream(events)), pattern));

        expect(pieces).toEqual(readStream(events).pieces);
      }),
    );
  });

  it("stops what a cut stream left open", () => {
    const { pieces } = readStream(STREAMS.tools.slice(0, 7));

    expect(pieces.slice(-2).map((piece) => piece.case)).toEqual(["blockStopped", "candidateStopped"]);
    expect(pieces.at(-1)?.value).toMatchObject({ stopReason: StopReason.OTHER });
  });
});
