import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { UsageSchema } from "../../../gen/weir/router/v1/chat_pb.ts";
import { ManualClock } from "../../shared/clock.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { chatCompletions } from "./chat-completions/chat-completions.ts";
import { HttpSink } from "./http-sink.ts";

type Watched = { deadlineMs: number; onDeadline(): void };

/** A response whose peer reads when the test says so. */
class FakeResponse extends EventEmitter {
  status = 0;
  headers: Record<string, string | number> = {};
  text = "";
  headersSent = false;
  /** How often a head was written. */
  heads = 0;
  writableFinished = false;
  writableLength = 0;
  destroyed = false;
  isSlow = false;
  #flushed: (() => void)[] = [];

  writeHead(status: number, headers: Record<string, string | number> | string[]): void {
    this.heads += 1;
    this.status = status;
    // As node:http takes them: by name, or name and value by turns.
    this.headers = Array.isArray(headers)
      ? Object.fromEntries(headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1] ?? ""]] : [])))
      : headers;
    this.headersSent = true;
  }
  write(bytes: Buffer | string, flushed?: () => void): boolean {
    this.text += bytes.toString();
    this.writableLength += bytes.length;
    if (flushed) this.#flushed.push(flushed);
    return !this.isSlow;
  }
  end(bytes?: Buffer | string): void {
    if (bytes !== undefined) this.write(bytes);
  }
  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
  readAll(): void {
    for (const flushed of this.#flushed.splice(0)) flushed();
  }
}

/** What is known of an answer before it begins. */
const EARLY = { eventId: "e1", snapshotVersion: 3n, keyringVersion: 4n };
const noUsage = () => create(UsageSchema);

function start(streamed: boolean) {
  const clock = new ManualClock();
  const watched = new Set<Watched>();
  const response = new FakeResponse();
  let over = 0;
  const sink = new HttpSink({
    request: { headers: { "x-request-id": "mine" } } as unknown as IncomingMessage,
    response: response as unknown as ServerResponse,
    format: chatCompletions,
    asked: { streamed, model: "small", wantsUsage: false, createdAtS: 1 },
    onOver: () => {
      over += 1;
    },
    deadlines: { add: (it) => void watched.add(it), remove: (it) => void watched.delete(it) },
    clock,
  });
  const heard: string[] = [];
  sink.listen({ onDrain: () => heard.push("drain"), onGone: () => heard.push("gone") }, EARLY);
  const pass = (ms: number) => {
    clock.advance(ms);
    for (const one of [...watched]) if (one.deadlineMs <= clock.monotonicMs()) one.onDeadline();
  };
  return { sink, response, watched, heard, pass, isOver: () => over > 0 };
}

const HEAD = { eventId: "e1", snapshotVersion: 3n, keyringVersion: 4n, target: "p/small" };
const failure = { error: new WeirError("STREAM_CUT", "Cannot answer: the connection broke") };

describe("HttpSink", () => {
  it("sends an answer in one piece with its length and what it ran under", () => {
    const { sink, response, isOver } = start(false);

    sink.begin(HEAD);
    sink.write(Buffer.from("{}"));
    expect(response.headersSent).toBe(false);
    sink.end(noUsage);

    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({
      "content-length": "2",
      "x-request-id": "e1",
      "x-client-request-id": "mine",
      "x-weir-snapshot": "3",
      "x-weir-keyring": "4",
      "x-weir-target": "p/small",
    });
    expect(isOver()).toBe(true);
  });

  it("says when the caller reads slower, and when it has caught up or is gone", () => {
    const { sink, response, heard } = start(true);
    sink.begin(HEAD);
    response.isSlow = true;

    expect(sink.write(Buffer.from("data: 1\n\n"))).toBe(false);
    response.emit("drain");
    response.emit("close");

    expect(heard).toEqual(["drain", "gone"]);
  });

  it("says nothing of a caller who leaves after the end", () => {
    const { sink, response, heard } = start(true);
    sink.begin(HEAD);
    sink.end(noUsage);

    response.emit("close");

    expect(heard).toEqual([]);
  });

  it("ends a stream that began with an error event and an aborted body, never with [DONE]", () => {
    const { sink, response, watched } = start(true);
    sink.begin(HEAD);
    sink.write(Buffer.from("data: 1\n\n"));

    sink.fail(HEAD, failure);
    expect(response.destroyed).toBe(false);
    response.readAll();

    expect(response.text).toMatch(
      /^data: 1\n\ndata: \{"error":\{"message":"Cannot answer: the connection broke".*\}\}\n\n$/,
    );
    expect(response.destroyed).toBe(true);
    expect(watched.size).toBe(0);
  });

  it("aborts anyway when the caller does not read the error", () => {
    const { sink, response, pass } = start(true);
    sink.begin(HEAD);

    sink.fail(HEAD, failure);
    pass(2_000);

    expect(response.destroyed).toBe(true);
  });

  it("lets go of a caller that does not read its answer", () => {
    const { sink, response, pass, watched } = start(false);
    sink.begin(HEAD);
    sink.write(Buffer.alloc(16_384_000));

    sink.end(noUsage);
    pass(1_024_000);
    expect(response.destroyed).toBe(false);
    pass(30_000);

    expect(response.destroyed).toBe(true);
    expect(watched.size).toBe(0);
  });

  it("breaks a silence before content with the head and a comment, within 15 s, and begins the answer later", () => {
    const { sink, response, pass } = start(true);

    pass(7_000);
    expect(response.headers).toMatchObject({
      "x-request-id": "e1",
      "content-type": "text/event-stream; charset=utf-8",
    });
    pass(7_000);
    sink.begin(HEAD);
    sink.write(Buffer.from("data: 1\n\n"));
    sink.end(noUsage);

    expect(response.heads).toBe(1);
    expect(response.text).toBe(": keep-alive\n\n: keep-alive\n\ndata: 1\n\n");
  });

  it("breaks a silence after content, and none while there is content", () => {
    const { sink, response, pass } = start(true);
    sink.begin(HEAD);

    for (const text of ["1", "2", "3"]) {
      sink.write(Buffer.from(text));
      pass(7_000);
    }
    pass(7_000);

    expect(response.text).toBe("123: keep-alive\n\n");
  });

  it("ends a failure after an early head as an event of the stream", () => {
    const { sink, response, pass } = start(true);
    pass(7_000);

    sink.fail(EARLY, failure);
    response.readAll();

    expect(response.status).toBe(200);
    expect(response.text).toMatch(/^: keep-alive\n\ndata: \{"error":/);
    expect(response.destroyed).toBe(true);
  });

  it("sends no sign of life to a caller who has not read what there is, nor in an answer in one piece", () => {
    const slow = start(true);
    slow.sink.begin(HEAD);
    slow.response.isSlow = true;
    slow.sink.write(Buffer.from("1"));
    const whole = start(false);

    slow.pass(60_000);
    whole.pass(60_000);

    expect(slow.response.text).toBe("1");
    expect(whole.response.headersSent).toBe(false);
    expect(whole.watched.size).toBe(0);
  });

  it("watches nothing any longer once the answer is over", () => {
    const { sink, response, watched } = start(true);
    sink.begin(HEAD);

    sink.end(noUsage);
    response.destroy();

    expect(watched.size).toBe(0);
  });

  it("answers a failure before anything was sent as an error of its own", () => {
    const { sink, response } = start(true);

    sink.fail(
      { eventId: "e1" },
      { error: new WeirError("RATE_LIMITED", "Cannot start call: used up", { retryAfterMs: 1_500 }) },
    );

    expect(response.status).toBe(429);
    expect(response.headers).toMatchObject({
      "retry-after": "2",
      "retry-after-ms": "1500",
      "x-weir-reason": "RATE_LIMITED",
    });
    expect(JSON.parse(response.text)).toEqual({
      error: {
        message: "Cannot start call: used up",
        type: "rate_limit_error",
        param: null,
        code: "rate_limit_exceeded",
      },
    });
  });
});
