import fc from "fast-check";
import { ResponseStream } from "openai/lib/responses/ResponseStream";
import { describe, expect, it } from "vitest";
import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { anyBlocks, FACTS, reasoning, refusal, text, toAnswer, toolUse, toPieces, USAGE } from "./blocks.fixture.ts";
import { composeAnswer } from "./write-answer.ts";
import { ResponsesStreamWriter } from "./write-stream.ts";

interface Event {
  readonly type: string;
  readonly sequence_number: number;
  readonly [member: string]: unknown;
}

/** Writes a whole answer as a stream and takes it apart into events. */
function write(...[blocks, stopReason]: Parameters<typeof toPieces>): Event[] {
  const writer = new ResponsesStreamWriter(FACTS);
  const parts = toPieces(blocks, stopReason).map((piece) => writer.write([piece]));
  const stream = Buffer.concat([...parts, writer.end(USAGE, undefined)]).toString();
  return stream
    .split("\n\n")
    .slice(0, -1)
    .map((event) => {
      const [name, data] = event.split("\n") as [string, string];
      const parsed = JSON.parse(data.slice("data: ".length)) as Event;
      expect(name).toBe(`event: ${parsed.type}`);
      return parsed;
    });
}

/** What the official client makes of events. */
async function readBySdk(events: readonly Event[]) {
  const lines = events.map((event) => `${JSON.stringify(event)}\n`).join("");
  const body = new Blob([lines]).stream();
  return ResponseStream.fromReadableStream(body).finalResponse();
}

describe("ResponsesStreamWriter", () => {
  it("writes the events of a text in their order", () => {
    const events = write([text("Nine metres.")], StopReason.END);

    expect(events.map(({ type }) => type)).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
  });

  it("numbers the events from 0", () => {
    const events = write([text("a"), toolUse("call_1", "f", "{}")], StopReason.TOOL_USE);

    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
  });

  it("writes the events of a call of a function in their order", () => {
    const events = write([toolUse("call_1", "measure", "{}")], StopReason.TOOL_USE);

    expect(events.slice(2, -1)).toMatchObject([
      {
        type: "response.output_item.added",
        output_index: 0,
        item: { type: "function_call", call_id: "call_1", name: "measure", arguments: "", status: "in_progress" },
      },
      { type: "response.function_call_arguments.delta", delta: "{" },
      { type: "response.function_call_arguments.delta", delta: "}" },
      { type: "response.function_call_arguments.done", name: "measure", arguments: "{}" },
      { type: "response.output_item.done", item: { arguments: "{}", status: "completed" } },
    ]);
  });

  it("writes reasoning as a summary, and its signature with the item that is done", () => {
    const events = write([reasoning({ text: "Hm", signature: "ab==" })], StopReason.END);

    expect(events.slice(2, -1)).toMatchObject([
      { type: "response.output_item.added", item: { type: "reasoning", summary: [] } },
      { type: "response.reasoning_summary_part.added", summary_index: 0 },
      { type: "response.reasoning_summary_text.delta", delta: "H" },
      { type: "response.reasoning_summary_text.delta", delta: "m" },
      { type: "response.reasoning_summary_text.done", text: "Hm" },
      { type: "response.reasoning_summary_part.done", part: { text: "Hm" } },
      { type: "response.output_item.done", item: { encrypted_content: "~weir-signature:ab==" } },
    ]);
  });

  it("writes a refusal as a part of a message", () => {
    const types = write([refusal("No.")], StopReason.REFUSED).map(({ type }) => type);

    expect(types).toContain("response.refusal.delta");
    expect(types).toContain("response.refusal.done");
    expect(types.at(-1)).toBe("response.completed");
  });

  it("ends with response.incomplete when the answer is cut by its cap", () => {
    const last = write([text("Nine")], StopReason.MAX_OUTPUT_TOKENS).at(-1);

    expect(last).toMatchObject({
      type: "response.incomplete",
      response: { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } },
    });
  });

  it("ends what is open when tool uses grow side by side until the candidate stops", () => {
    const [startA, growA] = toPieces([toolUse("a", "f", "1")], StopReason.TOOL_USE);
    const [, startB, growB] = toPieces([text(""), toolUse("b", "g", "2")], StopReason.TOOL_USE).filter(
      (piece) => piece.case !== "blockStopped",
    );
    const stop = toPieces([], StopReason.TOOL_USE)[0]!;
    const writer = new ResponsesStreamWriter(FACTS);

    const stream = Buffer.concat([
      writer.write([startA!, startB!, growA!, growB!, stop]),
      writer.end(USAGE, undefined),
    ]).toString();

    expect(stream.match(/"type":"response\.output_item\.done"/g)).toHaveLength(2);
    expect(stream).toContain('"call_id":"b","name":"g"');
  });

  it("leaves candidates after the first out, which the format does not know", () => {
    const pieces = toPieces([text("second")], StopReason.END);
    for (const piece of pieces)
      if (piece.case === "blockStarted" || piece.case === "blockDelta") piece.value.candidate = 1;
    const writer = new ResponsesStreamWriter(FACTS);

    const stream = writer.write(pieces).toString() + writer.end(USAGE, undefined).toString();

    expect(stream).not.toContain("second");
  });

  it("gives the official client the answer that is given in one piece", async () => {
    await fc.assert(
      fc.asyncProperty(
        anyBlocks,
        fc.constantFrom(StopReason.END, StopReason.TOOL_USE, StopReason.MAX_OUTPUT_TOKENS),
        async (blocks, stopReason) => {
          const whole = JSON.parse(composeAnswer(toAnswer(blocks, stopReason), USAGE, FACTS).toString());

          const { output_text: _text, ...streamed } = await readBySdk(write(blocks, stopReason));

          expect(JSON.parse(JSON.stringify(streamed, dropParsed))).toEqual(whole);
        },
      ),
    );
  });
});

/** The client adds what it parsed of texts and inputs. */
function dropParsed(key: string, value: unknown): unknown {
  return key === "parsed" || key === "parsed_arguments" || key === "output_parsed" ? undefined : value;
}
