import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { MAX_EVENT_BYTES } from "../event-stream.ts";
import { OpenAiStreamReader } from "./stream.ts";

const chunk = (fields: object): { usage?: unknown; [field: string]: unknown } => ({
  id: "c1",
  object: "chat.completion.chunk",
  created: 1,
  model: "m",
  ...fields,
});
const delta = (content: object, finish: string | null = null) => ({
  choices: [{ index: 0, delta: content, logprobs: null, finish_reason: finish }],
});
const ROLE = chunk({ ...delta({ role: "assistant", content: "", refusal: null }), usage: null });
const HELLO = chunk({ ...delta({ content: 'Grüße 🌊 "usage":null' }), usage: null });
const WORLD = chunk({ usage: null, ...delta({ content: " world" }), obfuscation: "xyz" });
const STOP = chunk({ ...delta({}, "stop"), usage: null });
const USAGE = chunk({
  choices: [],
  usage: {
    prompt_tokens: 9,
    completion_tokens: 4,
    prompt_tokens_details: { cached_tokens: 5 },
    completion_tokens_details: { reasoning_tokens: 1 },
  },
});

const write = (...events: (object | string)[]) =>
  events.map((event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`).join("");
const WHOLE = write(ROLE, HELLO, WORLD, STOP, USAGE, "[DONE]");

function relay(pieces: Iterable<Buffer>, options: { wantsUsage?: boolean; candidates?: number } = {}) {
  const reader = new OpenAiStreamReader({ wantsUsage: false, candidates: 1, ...options });
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

const events = (text: string) =>
  text
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => event.slice(6))
    .map((data) => (data === "[DONE]" ? data : JSON.parse(data)));
const without = ({ usage, ...rest }: { usage?: unknown }) => rest;

describe("OpenAiStreamReader", () => {
  it("relays the bytes as they came to a caller who asked for usage", () => {
    const { reader, text } = relay([Buffer.from(WHOLE)], { wantsUsage: true });

    expect(text).toBe(WHOLE);
    expect(reader.isComplete).toBe(true);
  });

  it("hides usage from a caller who did not ask, and leaves the rest as it was", () => {
    const { text } = relay([Buffer.from(WHOLE)]);

    expect(events(text)).toEqual([...[ROLE, HELLO, WORLD, STOP].map(without), "[DONE]"]);
    expect(text).toContain('Grüße 🌊 \\"usage\\":null');
  });

  it("makes disjoint meters of the usage, seen by the caller or not", () => {
    for (const wantsUsage of [true, false]) {
      const { reader } = relay([Buffer.from(WHOLE)], { wantsUsage });

      expect([...(reader.quantities ?? [])]).toEqual([
        [Meter.INPUT_TOKENS, 4],
        [Meter.CACHED_INPUT_TOKENS, 5],
        [Meter.CACHE_WRITE_TOKENS, 0],
        [Meter.OUTPUT_TOKENS, 3],
        [Meter.REASONING_TOKENS, 1],
      ]);
    }
  });

  it("gives the same whatever the reads are, down to single bytes and split characters", () => {
    const crlf = WHOLE.replaceAll("\n", "\r\n");
    fc.assert(
      fc.property(
        fc.constantFrom(WHOLE, crlf),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 }),
        (text, wantsUsage, sizes) => {
          const bytes = Buffer.from(text);
          const pieces: Buffer[] = [];
          for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
            const size = sizes[turn % sizes.length]!;
            pieces.push(bytes.subarray(at, at + size));
            at += size;
          }

          const whole = relay([bytes], { wantsUsage });
          const split = relay(pieces, { wantsUsage });

          expect(split.text).toBe(whole.text);
          expect([...(split.reader.quantities ?? [])]).toEqual([...(whole.reader.quantities ?? [])]);
          expect(split.reader.textBytes).toBe(whole.reader.textBytes);
          expect(split.reader.events).toBe(6);
        },
      ),
      { numRuns: 200 },
    );
    expect(relay([...Buffer.from(WHOLE)].map((byte) => Buffer.of(byte))).text).toBe(relay([Buffer.from(WHOLE)]).text);
  });

  it("lets nothing through before the first content, then all of it at once", () => {
    const reader = new OpenAiStreamReader({ wantsUsage: true, candidates: 1 });

    expect(reader.read(Buffer.from(`: ping\n\n${write(ROLE)}`))).toBeUndefined();
    expect(reader.hasContent).toBe(false);
    expect(reader.read(Buffer.from(write(HELLO)))?.toString()).toBe(`: ping\n\n${write(ROLE, HELLO)}`);
    expect(reader.hasContent).toBe(true);
  });

  it.each([
    ["text", { content: "a" }],
    ["a tool call", { tool_calls: [{ index: 0, id: "1", function: { name: "f", arguments: "" } }] }],
    ["a refusal", { refusal: "no" }],
    ["reasoning", { reasoning_content: "hm" }],
    ["a field that nobody knows yet", { audio: { id: "1" } }],
  ])("takes %s for content", (_, content) => {
    expect(relay([Buffer.from(write(chunk(delta(content))))]).reader.hasContent).toBe(true);
  });

  it("takes the end of an empty answer for content", () => {
    const { reader, text } = relay([Buffer.from(write(ROLE, STOP, "[DONE]"))], { wantsUsage: true });

    expect(reader.hasContent).toBe(true);
    expect(text).toBe(write(ROLE, STOP, "[DONE]"));
  });

  it("does not forward half an event of a cut stream", () => {
    const cut = WHOLE.slice(0, WHOLE.indexOf(" world"));
    const { reader, text } = relay([Buffer.from(cut)], { wantsUsage: true });

    expect(text).toBe(write(ROLE, HELLO));
    expect(reader.failure).toBeDefined();
    expect(reader.isComplete).toBe(false);
  });

  it("knows a stream that ended between events without its end", () => {
    const { reader } = relay([Buffer.from(write(ROLE, HELLO))]);

    expect(reader.failure).toBeUndefined();
    expect(reader.isComplete).toBe(false);
  });

  it("does not take a reason that is empty for the end of an answer", () => {
    const unended = [chunk(delta({ role: "assistant" }, "")), chunk(delta({ content: "Hel" }, ""))];

    const { reader } = relay([Buffer.from(write(...unended))]);

    expect(reader.isComplete).toBe(false);
  });

  it("adds the [DONE] that a server left out after all candidates ended", () => {
    expect(relay([Buffer.from(write(HELLO, STOP))], { wantsUsage: true }).text).toBe(write(HELLO, STOP, "[DONE]"));
    expect(relay([Buffer.from(write(HELLO, STOP))], { candidates: 2 }).reader.isComplete).toBe(false);
  });

  it("takes [DONE] without its blank line", () => {
    const { reader, text } = relay([Buffer.from(`${write(HELLO)}data: [DONE]`)], { wantsUsage: true });

    expect(reader.isComplete).toBe(true);
    expect(text).toBe(write(HELLO, "[DONE]"));
  });

  it("drops what comes after [DONE]", () => {
    expect(relay([Buffer.from(write(HELLO, "[DONE]", WORLD, "[DONE]"))], { wantsUsage: true }).text).toBe(
      write(HELLO, "[DONE]"),
    );
  });

  it("takes an error event for a failure and does not let it through", () => {
    const { reader, text } = relay([Buffer.from(write(HELLO, { error: { message: "secret", code: null } }, WORLD))]);

    expect(reader.failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
    expect(text).not.toContain("secret");
    expect(text).not.toContain("world");
  });

  it.each([
    ["broken JSON", 'data: {"id":\n\n'],
    ["text", "data: hello\n\n"],
    ["[DONE] without content", write(ROLE, "[DONE]")],
  ])("takes %s for a failure", (_, text) => {
    expect(relay([Buffer.from(text)]).reader.failure).toMatchObject({ reason: "PROVIDER_FAILED" });
  });

  it("reads data without a space, other fields, comments, and data over several lines", () => {
    const json = JSON.stringify(chunk(delta({ content: "a b" })), undefined, 1);
    const long = `event: message\nid: 7\n${json
      .split("\n")
      .map((line) => `data:${line}`)
      .join("\n")}\n\n`;

    const { reader, text } = relay([Buffer.from(`: hi\nretry: 1\n\n${long}data:${JSON.stringify(STOP)}\n\n`)]);

    expect(reader.hasContent).toBe(true);
    expect(reader.isComplete).toBe(true);
    expect(text).toMatch(
      /^: hi\nretry: 1\n\nevent: message\nid: 7\ndata: \{.*a b.*\}\n\ndata:\{.*\}\n\ndata: \[DONE\]\n\n$/,
    );
  });

  it("takes as many events over several lines as one read can hold, and leaves the others among them as they came", () => {
    const long = "data:{\ndata:}\n\n";
    const among = write(HELLO, WORLD);

    const { reader, text } = relay([Buffer.from(long.repeat(5_000) + among + long.repeat(5_000))], {
      wantsUsage: true,
    });

    const short = "data: { }\n\n".repeat(5_000);
    expect(text).toBe(short + among + short);
    expect(reader.events).toBe(10_002);
  });

  it("hides usage that stands in an event with choices", () => {
    const { reader, text } = relay([Buffer.from(write(HELLO, { ...STOP, usage: USAGE.usage }, "[DONE]"))]);

    expect(events(text)).toEqual([without(HELLO), without(STOP), "[DONE]"]);
    expect(reader.quantities?.get(Meter.OUTPUT_TOKENS)).toBe(3);
  });

  it("takes the usage of servers that send choices: null with it", () => {
    const { reader, text } = relay([Buffer.from(write(HELLO, STOP, { ...USAGE, choices: null }, "[DONE]"))]);

    expect(events(text)).toEqual([without(HELLO), without(STOP), "[DONE]"]);
    expect(reader.quantities).toBeDefined();
  });

  it.each([
    { prompt_tokens: -5, completion_tokens: "many" },
    { prompt_tokens: 1.5, completion_tokens: 1 },
    { prompt_tokens: 1, completion_tokens: 2 ** 53 },
    { prompt_tokens: 1, completion_tokens: 0 },
    {},
    [],
  ])("takes usage %j for none", (usage) => {
    expect(relay([Buffer.from(write(HELLO, STOP, { ...USAGE, usage }, "[DONE]"))]).reader.quantities).toBeUndefined();
  });

  it("relays an event of 1 MB that comes in many reads", () => {
    const big = write(chunk(delta({ content: "x".repeat(1_000_000) })), STOP, "[DONE]");
    const bytes = Buffer.from(big);
    const pieces = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, i) =>
      bytes.subarray(i * 1000, (i + 1) * 1000),
    );

    expect(relay(pieces, { wantsUsage: true }).text).toBe(big);
  });

  it("refuses an event without end", () => {
    const reader = new OpenAiStreamReader({ wantsUsage: true, candidates: 1 });
    const endless = Buffer.alloc(1024 * 1024, "x");

    for (let read = 0; read <= MAX_EVENT_BYTES && reader.failure === undefined; read += endless.length) {
      reader.read(endless);
    }

    expect(reader.failure).toBeDefined();
  });

  it("refuses a preamble without end", () => {
    const reader = new OpenAiStreamReader({ wantsUsage: true, candidates: 1 });

    for (let i = 0; i < 20_000 && reader.failure === undefined; i += 1)
      reader.read(Buffer.from(`: ${"x".repeat(100)}\n\n`));

    expect(reader.failure).toBeDefined();
  });
});
