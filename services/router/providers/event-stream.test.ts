import { describe, expect, it } from "vitest";
import { AnthropicStreamReader } from "./anthropic/stream.ts";
import { STREAMS, writeStream } from "./anthropic/streams.fixture.ts";
import type { EventStreamReader } from "./event-stream.ts";
import { GeminiStreamReader } from "./gemini/stream.ts";
import { EVENTS, toStream } from "./openai/responses/events.fixture.ts";
import { ResponsesStreamReader } from "./openai/responses/stream.ts";
import { OpenAiStreamReader } from "./openai/stream.ts";
import { listEventData } from "./pieces.ts";

const MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const HELLO = { choices: [{ index: 0, delta: { content: "Grüße" }, finish_reason: "stop" }] };
const GREETING = { candidates: [{ index: 0, content: { parts: [{ text: "Grüße" }] }, finishReason: "STOP" }] };

/** For each dialect that streams events: a reader, and a stream whose every event counts. */
const READERS: Record<string, () => [EventStreamReader, Buffer]> = {
  "chat completions": () => [
    new OpenAiStreamReader({ wantsUsage: true, candidates: 1 }),
    Buffer.from(`data: ${JSON.stringify(HELLO)}\n\ndata: [DONE]\n\n`),
  ],
  responses: () => [new ResponsesStreamReader(), toStream(EVENTS)],
  messages: () => [new AnthropicStreamReader(), Buffer.from(writeStream(STREAMS.text))],
  "generate content": () => [
    new GeminiStreamReader({ candidates: 1 }),
    Buffer.from(`data: ${JSON.stringify(GREETING)}\r\n\r\n`),
  ],
};

function relay(reader: EventStreamReader, chunks: readonly Buffer[]): Buffer {
  const out = [...chunks.map((chunk) => reader.read(Buffer.from(chunk))), reader.end()];
  return Buffer.concat(out.map((bytes) => Buffer.from(bytes ?? "")));
}

describe.each(Object.entries(READERS))("a reader of %s", (_, createReader) => {
  it.each([
    ["alone", 3],
    ["after its first byte", 1],
    ["after its second byte", 2],
    ["with its event", undefined],
  ])("makes a comment of the byte order mark that a stream begins with, which comes %s", (_, cut = 0) => {
    const [reader, stream] = createReader();
    const marked = Buffer.concat([MARK, stream]);

    const out = relay(reader, [marked.subarray(0, cut), marked.subarray(cut)]);

    expect(out.toString()).toBe(`:\r\n${stream}`);
    expect(reader).toMatchObject({ hasContent: true, isComplete: true, failure: undefined });
    expect(listEventData(out)).toEqual(listEventData(stream));
  });

  it("gives the same for a marked stream byte by byte", () => {
    const [reader, stream] = createReader();
    const marked = Buffer.concat([MARK, stream]);

    const out = relay(
      reader,
      Array.from(marked, (byte) => Buffer.of(byte)),
    );

    expect(out.toString()).toBe(`:\r\n${stream}`);
    expect(reader.isComplete).toBe(true);
  });

  it("takes a mark anywhere else for a part of its line, as the specification does", () => {
    const [reader, stream] = createReader();
    const marked = Buffer.concat([
      Buffer.from(": hello\n"),
      MARK,
      Buffer.from("data: 1\n\n"),
      MARK,
      Buffer.from("data: 2\n\n"),
    ]);
    const all = Buffer.concat([marked, stream]);

    const out = relay(reader, [all]);

    expect(out.toString()).toBe(all.toString());
    expect(reader.isComplete).toBe(true);
  });
});
