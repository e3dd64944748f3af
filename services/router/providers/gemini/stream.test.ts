import { clone } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Block, BlockSchema, StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { MAX_EVENT_BYTES } from "../event-stream.ts";
import { toTypedAnswer } from "./codec.ts";
import { GeminiPieceReader } from "./pieces.ts";
import { GeminiStreamReader } from "./stream.ts";

type Piece = StreamResponse["piece"];

const event = (parts: object[], more: object = {}, usage?: object) => ({
  candidates: [{ content: { role: "model", parts }, index: 0, ...more }],
  ...(usage && { usageMetadata: usage }),
  modelVersion: "gemini-2.5-pro-001",
  responseId: "r1",
});
const THOUGHT = event(
  [{ text: "Hm 🌊", thought: true }],
  {},
  { promptTokenCount: 9, thoughtsTokenCount: 2, totalTokenCount: 11 },
);
const HELLO = event([{ text: "Grüße" }], {}, { promptTokenCount: 9, candidatesTokenCount: 1, totalTokenCount: 12 });
const WORLD = event([{ text: " world\n\n" }]);
const SIGNED = event([{ text: "", thoughtSignature: "Ab+/=" }]);
const CALL = event([{ functionCall: { id: "c1", name: "f", args: { a: [1] } }, thoughtSignature: "Cd" }]);
const STOP = event(
  [],
  { finishReason: "STOP", groundingMetadata: { q: 1 } },
  {
    promptTokenCount: 9,
    candidatesTokenCount: 4,
    thoughtsTokenCount: 2,
    totalTokenCount: 15,
  },
);
const STREAM = [THOUGHT, HELLO, WORLD, SIGNED, CALL, STOP];

const write = (...events: (object | string)[]) =>
  events.map((given) => `data: ${typeof given === "string" ? given : JSON.stringify(given)}\r\n\r\n`).join("");
const WHOLE = write(...STREAM);

function read(chunks: Iterable<Buffer>, candidates = 1) {
  const reader = new GeminiStreamReader({ candidates });
  const pieceReader = new GeminiPieceReader();
  const pieces: Piece[] = [];
  for (const chunk of chunks) {
    const through = reader.read(Buffer.from(chunk));
    if (through) pieces.push(...pieceReader.read(through));
  }
  const last = reader.end();
  if (last) pieces.push(...pieceReader.read(last));
  if (reader.isComplete) pieces.push(...pieceReader.end());
  return { reader, pieceReader, pieces };
}

/** What a caller puts together of pieces. */
function assemble(pieces: readonly Piece[]) {
  const blocks: Block[] = [];
  let open = -1;
  let stop: { stopReason: StopReason; providerStopReason: string } | undefined;
  for (const { case: kind, value } of pieces) {
    if (kind === "blockStarted") {
      expect(open).toBe(-1);
      expect(value.index).toBe(blocks.length);
      open = value.index;
      blocks.push(clone(BlockSchema, value.block!));
    } else if (kind === "blockDelta") {
      expect(value.index).toBe(open);
      const grown = blocks[open]!.content.value as unknown as Record<string, string>;
      grown[value.delta.case!] += value.delta.value!;
    } else if (kind === "blockStopped") {
      expect(value.index).toBe(open);
      open = -1;
    } else if (kind === "candidateStopped") {
      expect(stop).toBeUndefined();
      stop = { stopReason: value.stopReason, providerStopReason: value.providerStopReason };
    }
  }
  expect(open).toBe(-1);
  return { blocks, ...stop };
}

describe("a stream in the Gemini dialect", () => {
  it("becomes blocks with their signatures, the stop for a tool, and the last usage", () => {
    const { reader, pieceReader, pieces } = read([Buffer.from(WHOLE)]);

    expect(reader.isComplete).toBe(true);
    expect(reader.failure).toBeUndefined();
    expect(Object.fromEntries(reader.quantities!)).toEqual({
      [Meter.INPUT_TOKENS]: 9,
      [Meter.CACHED_INPUT_TOKENS]: 0,
      [Meter.CACHE_WRITE_TOKENS]: 0,
      [Meter.OUTPUT_TOKENS]: 4,
      [Meter.REASONING_TOKENS]: 2,
    });
    const { blocks, ...stop } = assemble(pieces);
    expect(stop).toEqual({ stopReason: StopReason.TOOL_USE, providerStopReason: "STOP" });
    expect(blocks.map(({ content, extras }) => [content.case, content.value, extras])).toMatchObject([
      ["reasoning", { text: "Hm 🌊", signature: "" }, undefined],
      ["text", { text: "Grüße world\n\n" }, undefined],
      ["reasoning", { text: "", signature: "~weir-google:Ab+/=" }, undefined],
      ["reasoning", { text: "", signature: "~weir-google:Cd" }, undefined],
      ["toolUse", { id: "c1", name: "f", inputJson: '{"a":[1]}' }, undefined],
    ]);
    expect(pieceReader.providerModel).toBe("gemini-2.5-pro-001");
    expect(pieceReader.extras).toEqual({ responseId: "r1", candidates: [{ index: 0, groundingMetadata: { q: 1 } }] });
  });

  it("gives the same pieces however it is cut", () => {
    const bytes = Buffer.from(`: hi\n\n${WHOLE}`);
    const expected = read([bytes]);

    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 200 }), (sizes) => {
        const chunks: Buffer[] = [];
        for (let at = 0, i = 0; at < bytes.length; i += 1) {
          const size = sizes[i % sizes.length]!;
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        const { reader, pieces } = read(chunks);
        expect(pieces).toEqual(expected.pieces);
        expect(reader.quantities).toEqual(expected.reader.quantities);
        expect(reader.textBytes).toBe(expected.reader.textBytes);
        expect(reader.events).toBe(expected.reader.events);
      }),
    );
  });

  it("is never complete when it is cut before its last event is whole", () => {
    const bytes = Buffer.from(WHOLE);
    const lastBrace = bytes.lastIndexOf("}");

    for (let length = 0; length <= lastBrace; length += 1) {
      const { reader } = read([bytes.subarray(0, length)]);

      expect(reader.isComplete).toBe(false);
    }
  });

  it("is the same answer as one in one piece", () => {
    const part = fc.oneof(
      fc.record({ text: fc.string(), thought: fc.boolean() }),
      fc.record({ text: fc.string(), thoughtSignature: fc.base64String({ minLength: 4 }), thought: fc.boolean() }),
      fc.record({
        functionCall: fc.record({
          id: fc.constant("c"),
          name: fc.string(),
          args: fc.dictionary(fc.string(), fc.json()),
        }),
      }),
      fc.constant({ inlineData: { mimeType: "image/png", data: "AQID" } }),
      fc.constant({ executableCode: { language: "PYTHON", code: "1" } }),
    );
    const reason = fc.constantFrom("STOP", "FUNCTION_CALL", "MAX_TOKENS", "SAFETY", "OTHER", "TOMORROW");

    fc.assert(
      fc.property(fc.array(part), reason, (parts, finishReason) => {
        const { pieces } = read([
          Buffer.from(write(...parts.map((given) => event([given])), event([], { finishReason }))),
        ]);
        const [candidate] = toTypedAnswer(Buffer.from(JSON.stringify(event(parts, { finishReason })))).candidates;
        const { blocks, stopReason, providerStopReason } = assemble(pieces);

        expect(blocks).toEqual(candidate!.blocks);
        expect({ stopReason, providerStopReason }).toEqual({
          stopReason: candidate!.stopReason,
          providerStopReason: finishReason,
        });
      }),
    );
  });

  it("holds back what comes before the first content", () => {
    const reader = new GeminiStreamReader({ candidates: 1 });

    expect(
      reader.read(Buffer.from(write({ usageMetadata: { promptTokenCount: 1 } }, event([{ text: "" }])))),
    ).toBeUndefined();
    expect(reader.hasContent).toBe(false);
    const through = reader.read(Buffer.from(write(HELLO)))!;

    expect(reader.hasContent).toBe(true);
    expect(through.toString().split("data: ")).toHaveLength(4);
  });

  it("takes a prompt that a filter blocked for an answer", () => {
    const { reader, pieces } = read([
      Buffer.from(
        write({
          promptFeedback: { blockReason: "PROHIBITED_CONTENT" },
          usageMetadata: { promptTokenCount: 8, totalTokenCount: 8 },
        }),
      ),
    ]);

    expect(reader.isComplete).toBe(true);
    expect(reader.hasContent).toBe(true);
    expect(assemble(pieces)).toEqual({
      blocks: [],
      stopReason: StopReason.FILTERED,
      providerStopReason: "PROHIBITED_CONTENT",
    });
  });

  it("takes an answer that a filter broke off for a filtered one, not for one that ended", () => {
    const { reader, pieces } = read([
      Buffer.from(write(HELLO, { promptFeedback: { blockReason: "PROHIBITED_CONTENT" } })),
    ]);

    expect(reader.isComplete).toBe(true);
    expect(assemble(pieces)).toMatchObject({
      blocks: [{ content: { case: "text", value: { text: "Grüße" } } }],
      stopReason: StopReason.FILTERED,
      providerStopReason: "PROHIBITED_CONTENT",
    });
  });

  it("waits for each of the candidates that were asked for", () => {
    const candidate = (index: number, finishReason?: string) => ({
      candidates: [{ index, content: { parts: [{ text: "x" }] }, ...(finishReason && { finishReason }) }],
    });

    const cut = read([Buffer.from(write(candidate(0), candidate(1), candidate(0, "STOP")))], 2);
    const whole = read([Buffer.from(write(candidate(0, "STOP"), candidate(1, "MAX_TOKENS")))], 2);

    expect(cut.reader.isComplete).toBe(false);
    expect(whole.reader.isComplete).toBe(true);
  });

  it("fails on an error among its events, before content and after it", () => {
    const error = { error: { code: 503, message: "The model is overloaded", status: "UNAVAILABLE" } };

    const before = read([Buffer.from(write(error))]);
    const after = read([Buffer.from(write(HELLO, error, STOP))]);

    expect(before.reader.failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
    expect(before.reader.hasContent).toBe(false);
    expect(after.reader.failure).toMatchObject({ reason: "PROVIDER_FAILED" });
    expect(after.reader.isComplete).toBe(false);
    expect(after.pieces.some(({ case: kind }) => kind === "candidateStopped")).toBe(false);
  });

  it.each([
    ["no JSON", "data: {oops\n\n"],
    ["no object", "data: [1]\n\n"],
    ["not UTF-8", Buffer.from([...Buffer.from('data: {"a":"'), 0xff, ...Buffer.from('"}\n\n')])],
    ["too deep", `data: ${'{"a":'.repeat(300)}1${"}".repeat(300)}\n\n`],
    ["too large", `data: {"a":"${"x".repeat(MAX_EVENT_BYTES)}`],
  ])("fails on an event that is %s", (_, bytes) => {
    const { reader } = read([Buffer.from(bytes)]);

    expect(reader.failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
  });

  it("takes data of several lines, without a space and without a last newline", () => {
    const [head, tail] = JSON.stringify(HELLO).split(',"index"');
    const { reader, pieces } = read([
      Buffer.from(`data:${head}\ndata: ,"index"${tail}\n\nevent: x\ndata:${JSON.stringify(STOP)}`),
    ]);

    expect(reader.isComplete).toBe(true);
    expect(assemble(pieces).blocks).toHaveLength(1);
  });

  it("takes the end of another dialect along, and lets it through to nobody", () => {
    const { reader, pieces } = read([
      Buffer.from(`data: ${JSON.stringify(HELLO)}\n\ndata: ${JSON.stringify(STOP)}\n\ndata: [DONE]\n\n`),
    ]);

    expect(reader).toMatchObject({ isComplete: true, failure: undefined });
    expect(assemble(pieces).blocks).toHaveLength(1);
  });

  it("keeps all digits of a number in the input of a tool", () => {
    const data =
      '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"id":12345678901234567890}}}]}}]}';

    const { pieces } = read([Buffer.from(write(data))]);

    const inputs = pieces.flatMap(({ case: kind, value }) => (kind === "blockDelta" ? [value.delta.value] : []));
    expect(inputs).toEqual(['{"id":12345678901234567890}']);
    const [block] = toTypedAnswer(Buffer.from(data)).candidates[0]!.blocks;
    expect(block!.content.value).toMatchObject({ inputJson: '{"id":12345678901234567890}' });
  });

  it("passes an event of a MiB", () => {
    const text = "ü".repeat(512 * 1024);
    const { pieces } = read([Buffer.from(write(event([{ text }], { finishReason: "STOP" })))]);

    expect(assemble(pieces).blocks[0]!.content.value).toMatchObject({ text });
  });

  it("survives events of any shape", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 5 }), (values) => {
        const odd = values.map((value) => ({ candidates: value, usageMetadata: value, promptFeedback: value }));
        const nested = values.map((value) => ({
          candidates: [{ content: { parts: [value, { functionCall: value, text: value }] } }],
        }));

        expect(() => read([Buffer.from(write(...odd, ...nested))])).not.toThrow();
      }),
    );
  });
});
