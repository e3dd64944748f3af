import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { StreamResponse } from "../../../../gen/weir/router/v1/chat_service_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { toEventFrame } from "../../../../test/conformance/provider/event-frame.ts";
import { MAX_FRAME_BYTES } from "./frames.ts";
import { ConversePieceReader } from "./pieces.ts";
import { cut, FRAMES, toError, toException, toFrame } from "./stream.fixture.ts";
import { ConverseStreamReader } from "./stream.ts";

const ALL = Buffer.concat(FRAMES);
const HELLO = toFrame("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "Hello" } });
const START = toFrame("messageStart", { role: "assistant" });

/** Reads a stream as a router does: what the reader lets through goes to the piece reader. */
function readAll(chunks: readonly Buffer[]) {
  const reader = new ConverseStreamReader();
  const pieceReader = new ConversePieceReader();
  const pieces: StreamResponse["piece"][] = [];
  for (const chunk of chunks) {
    const bytes = reader.read(chunk);
    if (bytes !== undefined) pieces.push(...pieceReader.read(bytes));
  }
  const rest = reader.end();
  if (rest !== undefined) pieces.push(...pieceReader.read(rest));
  if (reader.isComplete && reader.failure === undefined) pieces.push(...pieceReader.end());
  return { reader, pieces, told: tell(pieces), extras: pieceReader.extras };
}

/** Pieces in words, with the deltas of a block joined. */
function tell(pieces: readonly StreamResponse["piece"][]): string[] {
  const told: string[] = [];
  for (const piece of pieces) {
    if (piece.case === "blockStarted") {
      const { index, block } = piece.value;
      const { content } = block!;
      if (content.case === "toolUse") told.push(`${index} toolUse ${content.value.id} ${content.value.name}`);
      else if (content.case === "reasoning") told.push(`${index} reasoning ${content.value.redacted}`);
      else told.push(`${index} ${content.case}`);
    } else if (piece.case === "blockDelta") {
      told.push(`${piece.value.index} ${piece.value.delta.case} ${piece.value.delta.value}`);
    } else if (piece.case === "blockStopped") {
      told.push(`${piece.value.index} stop`);
    } else if (piece.case === "candidateStopped") {
      told.push(`end ${piece.value.stopReason} ${piece.value.providerStopReason}`);
    }
  }
  return told;
}

describe("ConverseStreamReader", () => {
  it("reads reasoning with its signature, hidden reasoning, text and tools", () => {
    const { reader, told, extras } = readAll([ALL]);

    expect(told).toEqual([
      "0 reasoning ",
      "0 text Let me ",
      "0 text think 🌊",
      "0 signature EqQBCgIYAhIkZ+/=",
      "0 stop",
      "1 reasoning RXRDQg==",
      "1 stop",
      "2 text",
      "2 text Grüße",
      "2 text , world",
      "2 stop",
      "3 toolUse tooluse_1 weather",
      '3 inputJson {"city": "Mün',
      '3 inputJson chen", "id": 12345678901234567890}',
      "3 stop",
      "4 toolUse tooluse_2 time",
      "4 inputJson {}",
      "4 stop",
      "end 4 tool_use",
    ]);
    expect(reader.isComplete).toBe(true);
    expect(reader.failure).toBeUndefined();
    expect(reader.quantities).toEqual(
      new Map([
        [Meter.INPUT_TOKENS, 7],
        [Meter.CACHED_INPUT_TOKENS, 100],
        [Meter.CACHE_WRITE_TOKENS, 5],
        [Meter.OUTPUT_TOKENS, 30],
        [Meter.REASONING_TOKENS, 0],
      ]),
    );
    expect(extras).toEqual({ metrics: { latencyMs: 812 } });
  });

  it("gives a use of a tool whose input never comes an empty object", () => {
    const { told } = readAll([
      START,
      toFrame("contentBlockStart", { contentBlockIndex: 0, start: { toolUse: { toolUseId: "t", name: "now" } } }),
      toFrame("contentBlockDelta", { contentBlockIndex: 0, delta: { toolUse: { input: "" } } }),
      toFrame("contentBlockStop", { contentBlockIndex: 0 }),
      toFrame("messageStop", { stopReason: "tool_use" }),
      toFrame("metadata", { usage: { inputTokens: 1, outputTokens: 1 } }),
    ]);

    expect(told).toEqual(["0 toolUse t now", "0 inputJson {}", "0 stop", "end 4 tool_use"]);
  });

  it("gives the same however its bytes are cut", () => {
    const whole = readAll([ALL]);

    fc.assert(
      fc.property(fc.array(fc.nat(ALL.length - 1), { maxLength: 60 }), (offsets) => {
        const { reader, told } = readAll(cut(ALL, offsets));

        expect(told).toEqual(whole.told);
        expect(reader.isComplete).toBe(true);
        expect(reader.quantities).toEqual(whole.reader.quantities);
        expect(reader.textBytes).toBe(whole.reader.textBytes);
        expect(reader.events).toBe(FRAMES.length);
      }),
    );
  });

  it("gives the same byte by byte, an exception in the middle included", () => {
    const broken = Buffer.concat([
      ...FRAMES.slice(0, 9),
      toException("modelStreamErrorException", "gone"),
      ...FRAMES.slice(9),
    ]);
    const whole = readAll([broken]);

    const { reader, told } = readAll([...broken].map((byte) => Buffer.of(byte)));

    expect(told).toEqual(whole.told);
    expect(told.at(-1)).toBe("2 text , world");
    expect(reader.failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
    expect(reader.isComplete).toBe(false);
    expect(reader.hasContent).toBe(true);
  });

  it("is never complete when it is cut, at whatever byte", () => {
    for (let size = 0; size < ALL.length; size += 1) {
      const reader = new ConverseStreamReader();

      reader.read(Buffer.from(ALL.subarray(0, size)));
      reader.end();

      expect(reader.isComplete, `after ${size} bytes`).toBe(false);
    }
  });

  it("is never complete when a bit of a frame was flipped", () => {
    for (let at = 0; at < ALL.length; at += 1) {
      const flipped = Buffer.from(ALL);
      flipped[at]! ^= 1 << (at % 8);

      const { reader, told } = readAll([flipped]);

      expect(reader.isComplete && reader.failure === undefined, `byte ${at}`).toBe(false);
      expect(told.some((piece) => piece.startsWith("end")) && reader.isComplete).toBe(false);
    }
  });

  it("is complete only with its usage, which comes after the message's stop", () => {
    const reader = new ConverseStreamReader();

    reader.read(Buffer.concat(FRAMES.slice(0, -1)));
    const before = reader.isComplete;
    reader.read(FRAMES.at(-1)!);

    expect(before).toBe(false);
    expect(reader.isComplete).toBe(true);
  });

  it("holds the message's start back until there is content", () => {
    const reader = new ConverseStreamReader();

    const first = reader.read(START);
    const second = reader.read(HELLO);

    expect(first).toBeUndefined();
    expect(second).toEqual(Buffer.concat([START, HELLO]));
  });

  it("takes the signature of a thought for content", () => {
    const reader = new ConverseStreamReader();
    const signature = { contentBlockIndex: 0, delta: { reasoningContent: { signature: "EqQB" } } };

    expect(reader.read(Buffer.concat([START, toFrame("contentBlockDelta", signature)]))).toBeDefined();
    expect(reader.hasContent).toBe(true);
  });

  it("takes the end of an empty answer for content", () => {
    const reader = new ConverseStreamReader();

    const bytes = reader.read(Buffer.concat([START, toFrame("messageStop", { stopReason: "end_turn" })]));

    expect(bytes).toBeDefined();
    expect(reader.hasContent).toBe(true);
  });

  it.each<[string, object]>([
    ["throttlingException", { reason: "PROVIDER_RATE_LIMITED", elsewhere: true }],
    ["serviceUnavailableException", { reason: "PROVIDER_FAILED", elsewhere: true }],
    ["internalServerException", { reason: "PROVIDER_FAILED", elsewhere: true }],
    ["modelTimeoutException", { reason: "PROVIDER_TIMEOUT", elsewhere: true }],
    ["neverHeardOfException", { reason: "PROVIDER_FAILED", elsewhere: true }],
    [
      "validationException",
      {
        reason: "PROVIDER_REFUSED",
        elsewhere: false,
        said: { message: "why", type: "validationException", code: "", param: "" },
      },
    ],
  ])("fails by the type of an exception: %s", (type, failure) => {
    const reader = new ConverseStreamReader();

    const bytes = reader.read(Buffer.concat([START, toException(type, "why"), HELLO]));

    expect(bytes).toBeUndefined();
    expect(reader.failure).toMatchObject(failure);
    expect(reader.hasContent).toBe(false);
  });

  it("fails by the code of an error", () => {
    const reader = new ConverseStreamReader();

    reader.read(toError("InternalFailure", "An internal server error occurred"));

    expect(reader.failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
  });

  it.each([
    ["a length that is too short", Buffer.from([0, 0, 0, 15, 0, 0, 0, 0])],
    [
      "a length beyond the bound",
      Buffer.from([...new Uint8Array(new Uint32Array([MAX_FRAME_BYTES + 1]).buffer)].reverse()),
    ],
    ["server-sent events", Buffer.from('data: {"choices":[]}\n\n')],
    [
      "an event that is no JSON",
      toEventFrame({ ":message-type": "event", ":event-type": "messageStart" }, Buffer.from("{")),
    ],
    ["a message of no known kind", toEventFrame({ ":message-type": "news" }, Buffer.from("{}"))],
    ["headers that go on beyond the frame", createLongHeaders()],
  ])("fails on %s", (_name, bytes) => {
    const reader = new ConverseStreamReader();

    reader.read(bytes);

    expect(reader.failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
  });

  it("fails when there is no content in the first MiB", () => {
    const reader = new ConverseStreamReader();
    const nothing = toFrame("messageStart", { p: "a".repeat(100_000) });

    for (let count = 0; count < 11; count += 1) reader.read(nothing);

    expect(reader.failure).toMatchObject({ reason: "PROVIDER_FAILED" });
  });

  it("lets nothing through that comes after its usage, also of the same read", () => {
    const reader = new ConverseStreamReader();

    expect(reader.read(Buffer.concat([ALL, HELLO]))).toEqual(ALL);
    expect(reader.read(HELLO)).toBeUndefined();
  });

  it("passes over events that it does not know", () => {
    const known = readAll(FRAMES);

    const { told, reader } = readAll(FRAMES.flatMap((frame) => [toFrame("newEvent", { contentBlockIndex: 0 }), frame]));

    expect(told).toEqual(known.told);
    expect(reader.isComplete).toBe(true);
  });

  it("counts no usage that makes no sense", () => {
    const usage = { inputTokens: -1, outputTokens: 1 };

    const { reader } = readAll([...FRAMES.slice(0, -1), toFrame("metadata", { usage })]);

    expect(reader.isComplete).toBe(true);
    expect(reader.quantities).toBeUndefined();
    expect(reader.textBytes).toBeGreaterThan(0);
  });
});

/** Checksums fit, but the length of the headers is that of four frames. */
function createLongHeaders(): Buffer {
  const frame = toEventFrame({ ":message-type": "event", ":event-type": "messageStart" }, Buffer.from("{}"));
  const body = frame.subarray(12, -4);
  const forged = Buffer.alloc(frame.length);
  forged.writeUInt32BE(frame.length, 0);
  forged.writeUInt32BE(frame.length * 4, 4);
  forged.writeUInt32BE(crc32(forged.subarray(0, 8)), 8);
  body.copy(forged, 12);
  forged.writeUInt32BE(crc32(forged.subarray(0, -4)), forged.length - 4);
  return forged;
}
