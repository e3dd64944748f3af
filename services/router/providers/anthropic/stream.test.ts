import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { KeptText } from "../kept-text.ts";
import { AnthropicStreamReader } from "./stream.ts";
import { cut, STREAMS, writeStream } from "./streams.fixture.ts";

function relay(pieces: Iterable<Buffer>) {
  const reader = new AnthropicStreamReader();
  const out: Buffer[] = [];
  // What a reader lets through is on its way at once, so it is copied at once, as a socket would.
  for (const piece of pieces) {
    const through = reader.read(Buffer.from(piece));
    if (through) out.push(Buffer.from(through));
  }
  const last = reader.end();
  if (last) out.push(Buffer.from(last));
  return { reader, text: Buffer.concat(out).toString() };
}
const relayText = (text: string) => relay([Buffer.from(text)]);
const [START, BLOCK, PING, HELLO] = STREAMS.text;
const OVERLOADED = { type: "error", error: { details: null, type: "overloaded_error", message: "secret" } };

describe("AnthropicStreamReader", () => {
  it.each(Object.entries(STREAMS))("relays %s as it came", (_, events) => {
    const whole = writeStream(events);

    const { reader, text } = relayText(whole);

    expect(text).toBe(whole);
    expect(reader).toMatchObject({ isComplete: true, hasContent: true, failure: undefined });
  });

  it("gives the same whatever the reads are, down to single bytes and split characters", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 });
    const events = fc.constantFrom(...Object.values(STREAMS));
    fc.assert(
      fc.property(events, fc.constantFrom("\n" as const, "\r\n" as const), sizes, (list, newline, pattern) => {
        const bytes = Buffer.from(writeStream(list, newline));

        const { reader, text } = relay(cut(bytes, pattern));

        const whole = relay([bytes]);
        expect(text).toBe(whole.text);
        expect([...(reader.quantities ?? [])]).toEqual([...(whole.reader.quantities ?? [])]);
        expect(reader.textBytes).toBe(whole.reader.textBytes);
        expect(reader.events).toBe(list.length);
      }),
      { numRuns: 200 },
    );
  });

  it("is never complete when cut before its last event", () => {
    const bytes = Buffer.from(writeStream(STREAMS.tools));
    const last = bytes.lastIndexOf("event: message_stop");

    for (let at = 0; at <= last; at += 1) {
      const { reader } = relay([bytes.subarray(0, at)]);

      expect(reader.isComplete).toBe(false);
    }
  });

  it("makes disjoint meters of message_start and the last message_delta", () => {
    const { reader } = relayText(writeStream(STREAMS.thinking));

    expect([...(reader.quantities ?? [])]).toEqual([
      [Meter.INPUT_TOKENS, 25],
      [Meter.CACHED_INPUT_TOKENS, 100],
      [Meter.CACHE_WRITE_TOKENS, 7],
      [Meter.OUTPUT_TOKENS, 10],
      [Meter.REASONING_TOKENS, 40],
    ]);
  });

  it("takes the input that message_delta says for that of message_start, unless it is null", () => {
    const { reader } = relayText(writeStream(STREAMS.search));

    expect(reader.quantities?.get(Meter.INPUT_TOKENS)).toBe(900);
    expect(reader.quantities?.get(Meter.CACHED_INPUT_TOKENS)).toBe(100);
  });

  it("says no usage as long as the tokens of the answer are not known", () => {
    expect(relayText(writeStream([START, BLOCK, HELLO])).reader.quantities).toBeUndefined();
  });

  it("holds back message_start, pings and empty blocks, then gives all of it at once", () => {
    const reader = new AnthropicStreamReader();

    expect(reader.read(Buffer.from(writeStream([START, BLOCK, PING])))).toBeUndefined();
    expect(reader.hasContent).toBe(false);
    expect(reader.read(Buffer.from(writeStream([HELLO])))?.toString()).toBe(writeStream([START, BLOCK, PING, HELLO]));
  });

  it("lets a ping through after content as it comes", () => {
    const reader = new AnthropicStreamReader();
    reader.read(Buffer.from(writeStream([START, BLOCK, HELLO])));

    expect(reader.read(Buffer.from(writeStream([PING])))?.toString()).toBe(writeStream([PING]));
  });

  it.each([
    ["a tool use", { type: "tool_use", id: "t", name: "f", input: {} }],
    ["thinking that is hidden", { type: "redacted_thinking", data: "x" }],
    ["a tool that runs at the provider", { type: "server_tool_use", id: "t", name: "f", input: {} }],
    ["text that a block starts with", { type: "text", text: "a" }],
    ["a kind that nobody knows yet", { type: "hologram", depth: 1 }],
  ])("takes %s for content", (_, content_block) => {
    const { reader } = relayText(writeStream([START, { type: "content_block_start", index: 0, content_block }]));

    expect(reader.hasContent).toBe(true);
  });

  it("takes the end of an empty answer for content", () => {
    const whole = writeStream([START, ...STREAMS.text.slice(-2)]);

    const { reader, text } = relayText(whole);

    expect(text).toBe(whole);
    expect(reader.isComplete).toBe(true);
  });

  it("takes an error before content for a failure elsewhere, and lets nothing through", () => {
    const { reader, text } = relayText(writeStream([START, OVERLOADED]));

    expect(reader.failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
    expect(text).toBe("");
  });

  it("takes an error after content for a failure, and keeps its words to itself", () => {
    const { reader, text } = relayText(writeStream([START, BLOCK, HELLO, OVERLOADED, ...STREAMS.text.slice(-2)]));

    expect(text).toBe(writeStream([START, BLOCK, HELLO]));
    expect(reader.failure?.state).toBe("the provider is overloaded");
    expect(reader.isComplete).toBe(false);
  });

  it.each([
    ["broken JSON", 'data: {"type":\n\n'],
    ["text", "data: hello\n\n"],
    ["an error without an object", 'event: error\ndata: {"type":"error"}\n\n'],
    ["a block before its message", writeStream([BLOCK])],
    ["an end before its message", writeStream(STREAMS.text.slice(-2))],
    ["growth of a block that did not start", writeStream([START, HELLO])],
    [
      "growth of a block that has stopped",
      writeStream([START, BLOCK, HELLO, { type: "content_block_stop", index: 0 }, HELLO]),
    ],
    ["a second message", writeStream([START, START])],
    ["a message without content", writeStream([START, { type: "message_stop" }])],
  ])("takes %s for a failure", (_, text) => {
    expect(relayText(text).reader.failure).toMatchObject({ reason: "PROVIDER_FAILED" });
  });

  it("lets events and comments go along that it does not know", () => {
    const strange = `: hi\n\n${writeStream([{ type: "weather_report", sun: true }])}`;
    const whole = `${writeStream([START, BLOCK, HELLO])}${strange}`;

    expect(relayText(whole).text).toBe(whole);
  });

  it("counts as text what the model wrote, not what kind it is or what signs it", () => {
    const { reader } = relayText(writeStream(STREAMS.thinking));

    expect(reader.textBytes).toBe(
      "First, gcd(1071, 462).21".length + "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw".length,
    );
  });

  it("keeps of the text what it counts, and nothing of the events around it", () => {
    const text = new KeptText();
    const reader = new AnthropicStreamReader({ text });

    reader.read(Buffer.from(writeStream(STREAMS.text)));

    expect([text.seenBytes, text.keptBytes]).toEqual([reader.textBytes, reader.textBytes]);
  });

  it("reads a last event without its blank line, and drops what comes after message_stop", () => {
    const whole = writeStream(STREAMS.text);

    expect(relayText(whole.trimEnd()).text).toBe(whole);
    expect(relayText(`${whole}${writeStream([PING])}`).text).toBe(whole);
  });

  it("reads data over several lines and without a space", () => {
    const lines = JSON.stringify(HELLO, undefined, 1).split("\n");
    const long = `event: content_block_delta\n${lines.map((line) => `data:${line}`).join("\n")}\n\n`;

    const { reader, text } = relayText(`${writeStream([START, BLOCK])}${long}`);

    expect(reader.hasContent).toBe(true);
    expect(text).toMatch(/event: content_block_delta\ndata: \{.*Grüße.*\}\n\n$/);
  });

  it("relays an event of 1 MB that comes in many reads", () => {
    const big = { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "x".repeat(1_000_000) } };
    const whole = writeStream([START, BLOCK, big]);

    expect(relay(cut(Buffer.from(whole), [1000])).text).toBe(whole);
  });

  it.each([
    { output_tokens: -5 },
    { output_tokens: 1.5 },
    { output_tokens: 0 },
    { input_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 0, output_tokens: 5 },
    { input_tokens: 2 ** 53, output_tokens: 5 },
    {},
  ])("takes usage %j for none", (usage) => {
    const end = { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: null, ...usage } };
    const first = { ...START, message: { usage: { input_tokens: 5 } } };

    const { reader } = relayText(writeStream([first, BLOCK, HELLO, end, { type: "message_stop" }]));

    expect(reader.quantities).toBeUndefined();
  });
});
