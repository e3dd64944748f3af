import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Meter } from "../../../../../gen/weir/type/v1/usage_pb.ts";
import { EVENTS, TEXT_BYTES, toStream } from "./events.fixture.ts";
import { ResponsesStreamReader } from "./stream.ts";

const CREATED = EVENTS[0]!;

/** Reads a stream in pieces, each in memory of its own. */
function readAll(chunks: readonly Buffer[]): { reader: ResponsesStreamReader; out: string } {
  const reader = new ResponsesStreamReader();
  const parts: Buffer[] = [];
  for (const chunk of chunks) {
    const bytes = reader.read(Buffer.from(chunk));
    if (bytes !== undefined) parts.push(Buffer.from(bytes));
  }
  const rest = reader.end();
  if (rest !== undefined) parts.push(Buffer.from(rest));
  return { reader, out: Buffer.concat(parts).toString() };
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...[...new Set(cuts.map((cut) => cut % bytes.length))].sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
}

describe("ResponsesStreamReader", () => {
  it("lets a whole stream through as it came, and reads its usage", () => {
    const stream = toStream(EVENTS);

    const { reader, out } = readAll([stream]);

    expect(out).toBe(stream.toString());
    expect(reader.isComplete).toBe(true);
    expect(reader.failure).toBeUndefined();
    expect(reader.textBytes).toBe(TEXT_BYTES);
    expect(reader.events).toBe(EVENTS.length);
    expect([...reader.quantities!]).toEqual([
      [Meter.INPUT_TOKENS, 20],
      [Meter.CACHED_INPUT_TOKENS, 10],
      [Meter.CACHE_WRITE_TOKENS, 0],
      [Meter.OUTPUT_TOKENS, 15],
      [Meter.REASONING_TOKENS, 5],
    ]);
  });

  it("gives the same bytes and usage however the stream is cut into chunks", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 40 }), fc.constantFrom("\n", "\r\n"), (cuts, lineEnd) => {
        const stream = toStream(EVENTS, lineEnd);

        const { reader, out } = readAll(cutAt(stream, cuts));

        expect(out).toBe(stream.toString());
        expect(reader.isComplete).toBe(true);
        expect(reader.textBytes).toBe(TEXT_BYTES);
        expect(reader.quantities?.get(Meter.OUTPUT_TOKENS)).toBe(15);
      }),
    );
  });

  it("never takes a stream that was cut for a whole one", () => {
    const stream = toStream(EVENTS);
    // The last event is whole once its data is: only the line ends after it can be missing.
    const whole = stream.length - 2;

    for (let size = 0; size < whole; size += 1) {
      const { reader } = readAll([stream.subarray(0, size)]);
      if (reader.isComplete) expect.fail(`a stream cut after ${size} bytes is taken for whole`);
    }
  });

  it("holds back what comes before the first content", () => {
    const reader = new ResponsesStreamReader();

    const before = EVENTS.slice(0, 4).map((event) => reader.read(toStream([event])));
    const first = reader.read(toStream([EVENTS[4]!]));

    expect(before).toEqual([undefined, undefined, undefined, undefined]);
    expect(first?.toString()).toBe(
      EVENTS.slice(0, 5)
        .map((event) => toStream([event]).toString())
        .join(""),
    );
  });

  it("takes the call of a function for content before its input comes", () => {
    const { reader } = readAll([toStream([CREATED, EVENTS[11]!])]);

    expect(reader.hasContent).toBe(true);
  });

  it("takes an answer without any output for one", () => {
    const usage = { input_tokens: 3, output_tokens: 0 };
    const { reader, out } = readAll([
      toStream([CREATED, { type: "response.completed", response: { output: [], usage } }]),
    ]);

    expect(reader.isComplete).toBe(true);
    expect(reader.quantities?.get(Meter.INPUT_TOKENS)).toBe(3);
    expect(out).toContain("response.created");
  });

  it("takes an incomplete response for complete: its provider ended it", () => {
    const response = { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } };
    const { reader } = readAll([toStream([CREATED, { type: "response.incomplete", response }])]);

    expect(reader.isComplete).toBe(true);
  });

  it("fails over when a response fails before content", () => {
    const response = { status: "failed", error: { code: "server_error", message: "Secret of the operator" } };
    const { reader, out } = readAll([toStream([CREATED, { type: "response.failed", response }])]);

    expect(out).toBe("");
    expect(reader.hasContent).toBe(false);
    expect(reader.failure).toEqual({
      reason: "PROVIDER_FAILED",
      state: "the provider reported an error",
      elsewhere: true,
    });
  });

  it("leaves a failure after content out of what goes on", () => {
    const failed = { type: "response.failed", response: { error: { code: "rate_limit_exceeded", message: "Later" } } };
    const events = EVENTS.slice(0, 10);

    const { reader, out } = readAll([toStream([...events, failed])]);

    expect(out).toBe(toStream(events).toString());
    expect(reader.failure?.reason).toBe("PROVIDER_RATE_LIMITED");
    expect(reader.isComplete).toBe(false);
  });

  it.each([
    ["flat", { type: "error", code: "server_error", message: "No", param: null }],
    ["nested", { type: "error", error: { type: "server_error", code: "x", message: "No" } }],
    ["without a type", { error: { message: "No" } }],
  ])("takes an error event for a failure: %s", (_form, event) => {
    const { reader } = readAll([toStream([CREATED, event])]);

    expect(reader.failure?.reason).toBe("PROVIDER_FAILED");
  });

  it("does not try elsewhere what is wrong with the request", () => {
    const error = { code: "invalid_image_url", message: "The picture is not there", param: null };
    const { reader } = readAll([toStream([CREATED, { type: "response.failed", response: { error } }])]);

    expect(reader.failure).toMatchObject({
      reason: "PROVIDER_REFUSED",
      elsewhere: false,
      said: { message: "The picture is not there", code: "invalid_image_url" },
    });
  });

  it("takes an event that is no JSON for a failure", () => {
    const { reader, out } = readAll([Buffer.from("event: response.created\ndata: {nope\n\n")]);

    expect(reader.failure?.state).toContain("not a JSON object");
    expect(out).toBe("");
  });

  it("counts no usage that makes no sense", () => {
    const usage = { input_tokens: -1, output_tokens: 2 };
    const { reader } = readAll([toStream([CREATED, { type: "response.completed", response: { usage } }])]);

    expect(reader.quantities).toBeUndefined();
  });

  it("counts no usage that says that a text took no tokens", () => {
    const last = { type: "response.completed", response: { usage: { input_tokens: 3, output_tokens: 0 } } };
    const { reader } = readAll([toStream([...EVENTS.slice(0, -1), last])]);

    expect(reader.quantities).toBeUndefined();
  });

  it("lets types that it does not know through", () => {
    const stream = toStream([CREATED, { type: "response.new_thing.delta", delta: "x" }, EVENTS.at(-1)!]);

    const { reader, out } = readAll([stream]);

    expect(out).toBe(stream.toString());
    expect(reader.isComplete).toBe(true);
  });
});
