import fc from "fast-check";
import type { Dispatcher } from "undici";
import { describe, expect, it } from "vitest";
import { Meter, Operation, OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import { ManualClock } from "../../shared/clock.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { BodyMemory } from "../arrival/body-memory.ts";
import type { AnswerFailure, AnswerHead, AnswerSink, ChatCall, SinkListener } from "../arrival/call.ts";
import { scanRequest } from "../arrival/chat-completions/scan.ts";
import type { CountDone, TokenCounter } from "../counting/token-counter.ts";
import { Standings } from "../ejection/standings.ts";
import { createSnapshot } from "../harness.fixture.ts";
import type { KeptText } from "../providers/kept-text.ts";
import { Upstreams } from "../routing/upstreams.ts";
import { ChatDispatcher, type DispatchResult } from "./dispatch.ts";
import type { Pools } from "./pools.ts";
import { DeadlineSweep } from "./sweep.ts";

const TIMEOUTS = { connect: 100, firstToken: 1_000, idle: 500, total: 5_000 };

/** A call to a provider, under the hand of a test. */
class FakeCall {
  readonly options: Dispatcher.DispatchOptions;
  readonly #handler: Dispatcher.DispatchHandler;
  aborted: Error | undefined;
  isPaused = false;
  readonly controller = {
    abort: (error: Error) => {
      this.aborted = error;
      this.#handler.onResponseError?.(this.controller, error);
    },
    pause: () => {
      this.isPaused = true;
    },
    resume: () => {
      this.isPaused = false;
    },
  } as unknown as Dispatcher.DispatchController;

  constructor(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    this.options = options;
    this.#handler = handler;
  }

  connect(): void {
    this.#handler.onRequestStart?.(this.controller, undefined);
  }
  head(status = 200, headers: Record<string, string> = { "content-type": "text/event-stream" }): void {
    this.#handler.onResponseStart?.(this.controller, status, headers);
  }
  data(text: string): void {
    if (this.aborted === undefined) this.#handler.onResponseData?.(this.controller, Buffer.from(text));
  }
  end(): void {
    if (this.aborted === undefined) this.#handler.onResponseEnd?.(this.controller, {});
  }
  break(code = "ECONNRESET"): void {
    this.#handler.onResponseError?.(this.controller, Object.assign(new Error("broken"), { code }));
  }
}

class FakeSink implements AnswerSink {
  listener: SinkListener | undefined;
  head: AnswerHead | undefined;
  text = "";
  isSlow = false;
  listen(listener: SinkListener): void {
    this.listener = listener;
  }
  begin(head: AnswerHead): void {
    if (this.head !== undefined) throw new Error("begun twice");
    this.head = head;
  }
  write(bytes: Buffer): boolean {
    this.text += bytes.toString();
    return !this.isSlow;
  }
  end(): void {}
  fail(_head: AnswerHead, _failure: AnswerFailure): void {}
}

/** A counter under the hand of a test; by itself it counts nothing, at once, and takes no text. */
class FakeCounter implements TokenCounter {
  isHeld = false;
  readonly asked: string[][] = [];
  #waiting: CountDone[] = [];
  count(texts: readonly KeptText[], done: CountDone): void {
    if (!this.isHeld) return void done(undefined);
    this.asked.push(texts.map((text) => Buffer.from(text.handOver()).toString()));
    this.#waiting.push(done);
  }
  answer(tokens: readonly number[] | undefined): void {
    for (const done of this.#waiting.splice(0)) done(tokens);
  }
}

interface StartOptions {
  readonly streamed?: boolean;
  readonly targets?: number;
  readonly deadlineMs?: number;
  /** How long the caller waits, where that is less than the policy's. */
  readonly timeouts?: ChatCall["timeouts"];
  readonly model?: string;
  /** Whether all connections are busy. Default false. */
  readonly isFull?: boolean;
  /** Whether its caller has left before it begins. Default false. */
  readonly isGone?: boolean;
  /** What the caller says. Default "hi". */
  readonly text?: string;
  /** What the router answers itself, in place of a target that can't be asked. Default nothing: targets are asked. */
  readonly estimate?: string;
  /** Whether what is counted is held back until a test answers. Default false. */
  readonly isHeld?: boolean;
}

function start(options: StartOptions = {}) {
  const { streamed = true, targets = 2, deadlineMs, model = "small", isFull = false, text = "hi" } = options;
  const clock = new ManualClock();
  const sweep = new DeadlineSweep(clock, 0);
  const calls: FakeCall[] = [];
  const memory = new BodyMemory(1_000_000);
  const pools = {
    get: () => ({
      dispatch: (sent: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => {
        calls.push(new FakeCall(sent, handler));
        return isFull;
      },
    }),
  } as unknown as Pools;
  const snapshot = createSnapshot({
    providers: Array.from({ length: targets }, (_, index) => `http://127.0.0.1:${index + 1}/v1`),
    timeoutsMs: TIMEOUTS,
  });
  const body = Buffer.from(`{"model":"${model}","messages":[{"content":"${text}"}],"stream":${streamed}}`);
  const { request: asked, ...scanned } = scanRequest(body);
  const { estimate } = options;
  const request: typeof asked =
    estimate === undefined ? asked : { ...asked, format: "count-tokens", estimate: () => Buffer.from(estimate) };
  const call: ChatCall = {
    ...scanned,
    request,
    eventId: "e",
    arrivedAtMs: clock.nowMs(),
    arrivedMonotonicMs: clock.monotonicMs(),
    receivedMonotonicMs: clock.monotonicMs(),
    surface: "openai",
    operation: Operation.CHAT,
    headers: {},
    greeting: {} as never,
    streamed,
    requestBytes: body.length,
    relayedHeaders: [],
    timeouts: options.timeouts,
    ...(deadlineMs !== undefined && { deadlineMonotonicMs: clock.monotonicMs() + deadlineMs }),
  };
  const sink = new FakeSink();
  if (options.isGone === true) sink.listen = (listener) => listener.onGone();
  const results: DispatchResult[] = [];
  const counter = new FakeCounter();
  counter.isHeld = options.isHeld ?? false;
  const standings = new Standings({ clock, router: "eu-1" });
  const dispatcher = new ChatDispatcher({ pools, standings, sweep, clock, memory, counter, answerLimitBytes: 100_000 });
  const upstreams = new Upstreams(snapshot, () => undefined);
  /** Other chats have found out that a target fails. */
  const eject = (index: number) => {
    const reached = upstreams.listTargets()[index]!;
    const end = { eventId: "other", startedMs: clock.monotonicMs(), isAnswered: false, fault: "failed" } as const;
    for (let count = 0; count < 5; count++) standings.noteEnd(reached, end);
  };
  /** How often something was about to be sent, and whether that is forbidden. */
  const sending = { times: 0, isForbidden: false };
  dispatcher.dispatch({
    call,
    sink,
    targets: snapshot.targets,
    mayLeadElsewhere: false,
    upstreams,
    renewUpstreams: () => upstreams,
    head: { eventId: "e" },
    beforeSending: () => {
      sending.times += 1;
      if (sending.isForbidden) throw new WeirError("SPOOL_FULL", "Cannot start call: the disk takes nothing");
    },
    onAttempt: () => undefined,
    onDone: (result) => results.push(result),
  });
  const pass = (ms: number) => {
    clock.advance(ms);
    sweep.look();
  };
  return { call, clock, sweep, calls, memory, counter, sink, results, dispatcher, standings, sending, eject, pass };
}

const ROLE = 'data: {"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}\n\n';
const CONTENT = 'data: {"choices":[{"index":0,"delta":{"content":"abcdefgh"},"finish_reason":null}]}\n\n';
const USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n';
const END = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';

describe("ChatDispatcher", () => {
  it("asks the next target when a connection takes too long, and bills nothing for it", () => {
    const { calls, pass, results, sink } = start();

    pass(TIMEOUTS.connect - 1);
    expect(calls).toHaveLength(1);
    pass(1);
    expect(calls).toHaveLength(2);
    calls[1]!.connect();
    calls[1]!.head();
    calls[1]!.data(ROLE + CONTENT + END);
    calls[1]!.end();

    expect(sink.text).toBe(ROLE + CONTENT + END);
    expect(results).toMatchObject([
      {
        kind: OutcomeKind.ANSWERED,
        attempts: [
          { reason: "PROVIDER_TIMEOUT", usage: { source: UsageSource.UNSPECIFIED } },
          { outcome: OutcomeKind.ANSWERED },
        ],
      },
    ]);
  });

  it("leaves an earlier target's request as it was sent when the next one is asked", () => {
    const { calls } = start({ streamed: false, model: "a model with a long name" });
    calls[0]!.connect();
    calls[0]!.head(500, {});
    calls[0]!.end();
    calls[1]!.connect();

    expect(calls.map(({ options }) => JSON.parse(String(options.body)).model)).toEqual(["upstream-0", "upstream-1"]);
  });

  it("uses no memory again from which an earlier target's connection may still be sending", () => {
    const { calls } = start({ streamed: false, targets: 3, model: "m", text: "x".repeat(5_000) });
    for (const index of [0, 1]) {
      calls[index]!.connect();
      calls[index]!.head(500, {});
      calls[index]!.end();
    }

    expect(new Set(calls.map(({ options }) => (options.body as Buffer).buffer))).toHaveProperty("size", 3);
  });

  it("asks before each attempt is sent, and not before it has a connection", () => {
    const { calls, sending } = start();
    expect(sending.times).toBe(0);

    calls[0]!.connect();
    calls[0]!.head(500, {});
    calls[0]!.end();
    calls[1]!.connect();

    expect(sending.times).toBe(2);
  });

  it("sends nothing of a chat that may not be sent, and tries nobody else", () => {
    const { calls, sending, results } = start();
    sending.isForbidden = true;

    calls[0]!.connect();

    expect(calls[0]!.aborted).toBeDefined();
    expect(calls).toHaveLength(1);
    expect(results).toMatchObject([{ kind: OutcomeKind.FAILED, reason: "SPOOL_FULL" }]);
  });

  it("asks nobody for a caller who is gone before it begins", () => {
    const { calls, results, dispatcher } = start({ isGone: true });

    expect(calls).toEqual([]);
    expect(results).toMatchObject([{ kind: OutcomeKind.CANCELLED, reason: "CALLER_GONE", attempts: [] }]);
    expect(dispatcher.openChats).toBe(0);
  });

  describe("where no target can be asked, and the router answers itself", () => {
    it("answers once the request is counted, and bills nothing", () => {
      const { calls, counter, results, sink, dispatcher } = start({ estimate: "42", isHeld: true });
      expect([sink.text, results, dispatcher.openChats]).toEqual(["", [], 1]);

      counter.answer([7]);

      expect([calls, sink.text, dispatcher.openChats]).toEqual([[], "42", 0]);
      expect(results).toMatchObject([
        { kind: OutcomeKind.ANSWERED, attempts: [{ usage: { source: UsageSource.UNSPECIFIED } }] },
      ]);
    });

    it("says nothing more to a caller who left meanwhile", () => {
      const { counter, results, sink } = start({ estimate: "42", isHeld: true });

      sink.listener?.onGone();
      counter.answer([7]);

      expect([sink.head, sink.text]).toEqual([undefined, ""]);
      expect(results).toMatchObject([{ kind: OutcomeKind.CANCELLED, attempts: [] }]);
    });
  });

  it("aborts a connection that comes after it was given up", () => {
    const { calls, pass } = start();
    pass(TIMEOUTS.connect);

    calls[0]!.connect();

    expect(calls[0]!.aborted).toBeDefined();
  });

  it("waits for the first content as long as the first token timeout, whatever else comes", () => {
    const { calls, pass } = start();
    calls[0]!.connect();
    calls[0]!.head();
    for (let waited = 0; waited < TIMEOUTS.firstToken; waited += 100) {
      expect(calls).toHaveLength(1);
      calls[0]!.data(`: ping\n\n${ROLE}`);
      pass(100);
    }

    expect(calls).toHaveLength(2);
    expect(calls[0]!.aborted).toMatchObject({ reason: "PROVIDER_TIMEOUT", facts: { timeout: "first_token" } });
  });

  it("waits for the whole of a refusal no longer than for content, and says which time that was", () => {
    const { calls, pass } = start();
    calls[0]!.connect();
    calls[0]!.head(500, {});
    pass(TIMEOUTS.firstToken - 1);
    calls[0]!.data('{"error"');
    pass(1);

    expect(calls[0]!.aborted).toMatchObject({ reason: "PROVIDER_TIMEOUT", facts: { timeout: "first_token" } });
  });

  it("passes over a target that was ejected since the chat was planned, and asks the one after it", () => {
    const { calls, eject, results } = start({ targets: 3, streamed: false });
    calls[0]!.connect();
    eject(1);

    calls[0]!.head(500, {});
    calls[0]!.end();

    expect(calls.map(({ options }) => options.path && JSON.parse(String(options.body)).model)).toEqual([
      "upstream-0",
      "upstream-2",
    ]);
    calls[1]!.connect();
    calls[1]!.head(500, {});
    calls[1]!.end();
    expect(results[0]?.attempts).toMatchObject([
      { reason: "PROVIDER_FAILED" },
      { reason: "TARGET_EJECTED", isSkipped: true, usage: { source: UsageSource.UNSPECIFIED } },
      { reason: "PROVIDER_FAILED" },
    ]);
  });

  it("asks a target that was ejected since all the same when it is the last one left and has just answered others", () => {
    const { calls, eject, results } = start({ targets: 2, streamed: false });
    calls[0]!.connect();
    eject(1);
    calls[0]!.head(500, {});
    calls[0]!.end();

    expect(calls).toHaveLength(2);
    calls[1]!.connect();
    calls[1]!.head(500, {});
    calls[1]!.end();
    expect(results[0]).toMatchObject({ reason: "PROVIDER_FAILED" });
  });

  it.each([
    [true, "says nothing of a target"],
    [false, "counts against its target"],
  ])("a connection that does not come, all of them being busy: %s, %s", (isFull) => {
    const { pass, standings } = start({ isFull });

    pass(TIMEOUTS.connect);

    expect(standings.isQuiet).toBe(isFull);
  });

  it.each([
    ["connects", { connectMs: 50 }],
    ["goes on", { idleMs: 50 }],
  ])("a caller who waits less than the policy allows until a target %s says nothing of the target", (_, timeouts) => {
    const { calls, pass, results, standings } = start({ targets: 1, timeouts });
    if ("idleMs" in timeouts) {
      calls[0]!.connect();
      calls[0]!.head();
      calls[0]!.data(CONTENT);
    }

    pass(50);

    expect(results[0]?.failure?.error.facts).toMatchObject({ limit_ms: "50" });
    expect(standings.isQuiet).toBe(true);
  });

  it("takes an answer of the largest size, and none beyond it, whether or not its size was said before", () => {
    const answerOf = (sizeBytes: number, headers: Record<string, string>) => {
      const { calls, results } = start({ targets: 1, streamed: false });
      calls[0]!.connect();
      calls[0]!.head(200, { "content-type": "application/json", "content-encoding": "identity", ...headers });
      calls[0]!.data(`{"choices":[]${" ".repeat(sizeBytes - 14)}}`);
      calls[0]!.end();
      return results[0]?.failure?.error.message ?? "answered";
    };
    const tooLarge = "Cannot answer: the provider's answer is larger than 100000 bytes";

    expect(answerOf(100_000, {})).toBe("answered");
    expect(answerOf(100_000, { "content-length": "100000" })).toBe("answered");
    expect(answerOf(100_001, {})).toBe(tooLarge);
    expect(answerOf(100_001, { "content-length": "100001" })).toBe(tooLarge);
  });

  it("hands on a provider's headers with its refusal, and not with what broke within an answer", () => {
    const told = { "content-type": "text/event-stream", "x-ratelimit-limit-requests": "9" };
    const headersOf = (status: number, text: string) => {
      const { calls, results } = start({ targets: 1 });
      calls[0]!.connect();
      calls[0]!.head(status, told);
      calls[0]!.data(text);
      calls[0]!.end();
      return results[0]?.head.relayedHeaders;
    };

    expect(headersOf(429, "")).toEqual([["x-weir-provider-x-ratelimit-limit-requests", "9"]]);
    expect(headersOf(200, 'data: {"error":{}}\n\n')).toBeUndefined();
  });

  it("reads no more of a refusal than tells why", () => {
    const { calls, memory } = start();
    calls[0]!.connect();
    calls[0]!.head(500, {});
    calls[0]!.data("x".repeat(64 * 1024));
    expect([calls.length, memory.usedBytes]).toEqual([1, 0]);

    calls[0]!.data("x");

    expect([calls.length, memory.usedBytes]).toEqual([2, 0]);
    expect(calls[0]!.aborted).toBeDefined();
  });

  it("ends an answer that falls silent, and takes comments for silence", () => {
    const { calls, pass, results } = start();
    calls[0]!.connect();
    calls[0]!.head();
    calls[0]!.data(CONTENT);
    pass(TIMEOUTS.idle - 1);
    calls[0]!.data(CONTENT);
    pass(TIMEOUTS.idle - 1);
    expect(results).toEqual([]);
    calls[0]!.data(": ping\n\n");
    pass(1);

    expect(results).toMatchObject([{ kind: OutcomeKind.CUT, reason: "STREAM_CUT" }]);
    expect(results[0]?.failure?.error.facts).toMatchObject({ timeout: "idle" });
    expect([calls.length, results[0]?.attempts.length]).toEqual([1, 1]);
  });

  it("cuts through everything when the total time is over", () => {
    const { calls, pass, results } = start();
    calls[0]!.connect();
    calls[0]!.head();
    for (let waited = 0; waited < TIMEOUTS.total; waited += 250) {
      calls[0]!.data(CONTENT);
      pass(250);
    }

    expect(results).toMatchObject([{ kind: OutcomeKind.CUT, reason: "TIMEOUT" }]);
  });

  it("tries nobody else once the total time is over", () => {
    const { calls, pass, results } = start();
    calls[0]!.connect();

    pass(TIMEOUTS.total);

    expect(calls).toHaveLength(1);
    expect(results).toMatchObject([{ kind: OutcomeKind.FAILED, reason: "TIMEOUT" }]);
  });

  it("ends with the caller's own deadline when that is sooner", () => {
    const { calls, pass, results } = start({ deadlineMs: 200 });
    calls[0]!.connect();

    pass(200);

    expect(results).toMatchObject([{ kind: OutcomeKind.CANCELLED, reason: "DEADLINE_EXCEEDED" }]);
    expect(calls[0]!.aborted).toBeDefined();
  });

  it("sends nothing to a target once the time is over, though no look at the deadlines has found that yet", () => {
    const { clock, calls, results, sending } = start({ deadlineMs: 200 });
    clock.advance(200);

    calls[0]!.connect();

    expect([calls.length, sending.times]).toEqual([1, 0]);
    expect(calls[0]!.aborted).toBeDefined();
    expect(results).toMatchObject([
      { reason: "DEADLINE_EXCEEDED", attempts: [{ usage: { source: UsageSource.UNSPECIFIED } }] },
    ]);
  });

  it.each([
    ["back", -3_600_000],
    ["forward", 3_600_000],
  ])("tells how long an attempt took when the machine's clock is set %s by an hour meanwhile", (_, byMs) => {
    const { clock, calls, pass, results } = start();
    const beganMs = clock.nowMs();
    calls[0]!.connect();
    calls[0]!.head();
    clock.setWall(clock.nowMs() + byMs);
    pass(30);
    calls[0]!.data(ROLE + CONTENT);
    pass(20);
    calls[0]!.data(END);
    calls[0]!.end();

    expect(results[0]?.attempts).toMatchObject([
      { startedAtMs: beganMs, firstContentAtMs: beganMs + 30, endedAtMs: beganMs + 50 },
    ]);
  });

  it("pauses the provider while the caller reads slower, without calling it idle", () => {
    const { calls, pass, results, sink } = start();
    calls[0]!.connect();
    calls[0]!.head();
    sink.isSlow = true;
    calls[0]!.data(CONTENT);
    expect(calls[0]!.isPaused).toBe(true);
    pass(TIMEOUTS.idle * 2);
    expect(results).toEqual([]);

    sink.isSlow = false;
    sink.listener?.onDrain();
    expect(calls[0]!.isPaused).toBe(false);
    pass(TIMEOUTS.idle);

    expect(results).toMatchObject([{ kind: OutcomeKind.CUT }]);
  });

  it("gives an answer no more time for a caller who caught up without having been waited for", () => {
    const { calls, pass, results, sink } = start();
    calls[0]!.connect();
    calls[0]!.head();
    calls[0]!.data(CONTENT);
    pass(TIMEOUTS.idle - 1);

    sink.listener?.onDrain();
    pass(1);

    expect(results).toMatchObject([{ kind: OutcomeKind.CUT }]);
  });

  it("holds on to nothing once an answer is whole: request, text, deadline", () => {
    const { call, calls, memory, sweep } = start();
    calls[0]!.connect();
    calls[0]!.head();
    calls[0]!.data(CONTENT);
    expect(call.request.format === undefined ? undefined : call.request.bytes).toHaveLength(0);
    expect(memory.usedBytes).toBeGreaterThan(0);

    calls[0]!.data(USAGE + END);
    calls[0]!.end();

    expect([memory.usedBytes, sweep.size]).toEqual([0, 0]);
  });

  it("says what is wrong with a last event that comes without its blank line", () => {
    const { calls, results } = start({ targets: 1 });
    calls[0]!.connect();
    calls[0]!.head();
    calls[0]!.data(`${ROLE}data: [DONE]`);
    calls[0]!.end();

    expect(results[0]?.failure?.error.message).toBe("Cannot answer: the provider's stream ended without content");
  });

  it("counts at least one token of an answer without text", () => {
    const { calls, results } = start();
    calls[0]!.connect();
    calls[0]!.head();
    calls[0]!.data(END);
    calls[0]!.end();

    expect(results[0]?.attempts[0]?.usage?.quantities.get(Meter.OUTPUT_TOKENS)).toBe(1);
  });

  it("aborts the provider at once when the caller is gone", () => {
    const { calls, results, sink } = start();
    calls[0]!.connect();
    calls[0]!.head();
    calls[0]!.data(CONTENT);

    sink.listener?.onGone();

    expect(calls[0]!.aborted).toMatchObject({ reason: "CALLER_GONE" });
    expect(results).toMatchObject([
      { kind: OutcomeKind.CANCELLED, attempts: [{ usage: { source: UsageSource.COUNTED } }] },
    ]);
    expect(results[0]?.attempts[0]?.usage?.quantities.get(Meter.OUTPUT_TOKENS)).toBe(2);
  });

  describe("while the tokens of an answer are counted", () => {
    function startCounted() {
      const world = start();
      const { calls, counter } = world;
      counter.isHeld = true;
      calls[0]!.connect();
      calls[0]!.head();
      calls[0]!.data(ROLE + CONTENT);
      return world;
    }

    it("waits with the outcome, and then says what was counted", () => {
      const { calls, counter, results, dispatcher } = startCounted();
      calls[0]!.data(END);
      calls[0]!.end();
      expect(results).toEqual([]);
      expect(counter.asked).toEqual([["hi\\n", "abcdefgh"]]);
      expect(dispatcher.openChats).toBe(1);

      counter.answer([7, 3]);

      expect(results).toMatchObject([
        { kind: OutcomeKind.ANSWERED, attempts: [{ usage: { source: UsageSource.COUNTED } }] },
      ]);
      expect(results[0]?.attempts[0]?.usage?.quantities.get(Meter.OUTPUT_TOKENS)).toBe(3);
    });

    it("estimates them when nobody could count", () => {
      const { calls, counter, results } = startCounted();
      calls[0]!.data(END);
      calls[0]!.end();

      counter.answer(undefined);

      expect(results[0]?.attempts[0]?.usage?.quantities.get(Meter.OUTPUT_TOKENS)).toBe(2);
    });

    it("stays answered when its caller leaves, the process must stop, or the total time is over", () => {
      const { calls, counter, results, sink, dispatcher, pass } = startCounted();
      calls[0]!.data(END);
      calls[0]!.end();

      sink.listener?.onGone();
      dispatcher.cutAll(new WeirError("DRAINING", "Cannot go on: stopping"));
      pass(TIMEOUTS.total);
      expect(results).toEqual([]);
      counter.answer([7, 3]);
      counter.answer([7, 3]);

      expect(results).toMatchObject([{ kind: OutcomeKind.ANSWERED }]);
    });

    it("has aborted the provider of a caller who left, and says so once counted", () => {
      const { calls, counter, results, sink, memory } = startCounted();

      sink.listener?.onGone();
      expect(calls[0]!.aborted).toMatchObject({ reason: "CALLER_GONE" });
      counter.answer([7, 3]);

      expect(results).toMatchObject([{ kind: OutcomeKind.CANCELLED, reason: "CALLER_GONE" }]);
      expect(memory.usedBytes).toBe(0);
    });
  });

  it("ends every chat when the process must stop", () => {
    const { calls, results, dispatcher } = start();
    calls[0]!.connect();

    dispatcher.cutAll(new WeirError("DRAINING", "Cannot go on: stopping"));

    expect(results).toMatchObject([{ kind: OutcomeKind.FAILED, reason: "DRAINING" }]);
    expect(dispatcher.openChats).toBe(0);
  });

  it("tells of no time to come back once an answer has begun", () => {
    const { calls, results } = start();
    calls[0]!.connect();
    calls[0]!.head(429, { "retry-after": "5" });
    calls[0]!.end();
    calls[1]!.connect();
    calls[1]!.head();
    calls[1]!.data(CONTENT);
    calls[1]!.break();

    expect(results[0]?.failure?.error).toMatchObject({ reason: "STREAM_CUT", retryAfterMs: undefined });
  });

  it("names the target that refused last, and none that was never reached", () => {
    const refused = start({ targets: 1 });
    refused.calls[0]!.connect();
    refused.calls[0]!.head(500, {});
    refused.calls[0]!.end();
    const unreached = start({ targets: 1 });
    unreached.calls[0]!.break();

    expect([refused, unreached].map(({ results }) => results[0]?.head.target)).toEqual(["p0/small", undefined]);
  });

  it("begins the answer with the target that gives it", () => {
    const { calls, sink } = start();
    calls[0]!.connect();
    calls[0]!.break();
    calls[1]!.connect();
    calls[1]!.head();
    calls[1]!.data(CONTENT);

    expect(sink.head).toMatchObject({
      eventId: "e",
      target: "p1/small",
      way: { kind: "relay", format: { format: "chat-completions" } },
    });
  });

  it("leaves exactly one outcome and nothing behind, whatever happens in whatever order", () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("connect" as const), at: fc.nat(2) }),
      fc.record({
        do: fc.constant("head" as const),
        at: fc.nat(2),
        status: fc.constantFrom(200, 200, 200, 400, 401, 429, 500),
        type: fc.constantFrom("text/event-stream", "application/json"),
      }),
      fc.record({
        do: fc.constant("data" as const),
        at: fc.nat(2),
        text: fc.constantFrom(
          ROLE,
          CONTENT,
          END,
          "data: {",
          "\n\n",
          'data: {"error":{}}\n\n',
          '{"choices":[{}]}',
          "{}",
        ),
      }),
      fc.record({ do: fc.constant("end" as const), at: fc.nat(2) }),
      fc.record({ do: fc.constant("break" as const), at: fc.nat(2) }),
      fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(1, 100, 500, 1_000) }),
      fc.record({ do: fc.constantFrom("gone" as const, "slow" as const, "drain" as const, "cut" as const) }),
      fc.record({ do: fc.constant("counted" as const), tokens: fc.constantFrom(undefined, [3, 2], [0, 0]) }),
    );
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.integer({ min: 1, max: 3 }),
        fc.array(step, { maxLength: 40 }),
        fc.boolean(),
        (streamed, targets, steps, isHeld) => {
          const world = start({ streamed, targets });
          world.counter.isHeld = isHeld;
          // A provider's events come in order and only while its call lives, as undici sees to.
          const states = new Map<FakeCall, "new" | "connected" | "headed" | "over">();
          for (const next of steps) {
            const call = "at" in next ? world.calls[next.at] : undefined;
            if ("at" in next) {
              if (call === undefined || call.aborted !== undefined) continue;
              const state = states.get(call) ?? "new";
              if (next.do === "connect" && state === "new") {
                states.set(call, "connected");
                call.connect();
              } else if (next.do === "head" && state === "connected") {
                states.set(call, "headed");
                call.head(next.status, { "content-type": next.type });
              } else if (next.do === "data" && state === "headed") call.data(next.text);
              else if (next.do === "end" && state === "headed") {
                states.set(call, "over");
                call.end();
              } else if (next.do === "break" && state !== "over") {
                states.set(call, "over");
                call.break();
              }
            } else if (next.do === "pass") world.pass(next.ms);
            else if (next.do === "counted") world.counter.answer(next.tokens);
            else if (next.do === "gone") {
              if (world.results.length === 0) world.sink.listener?.onGone();
            } else if (next.do === "slow") world.sink.isSlow = true;
            else if (next.do === "drain") {
              world.sink.isSlow = false;
              world.sink.listener?.onDrain();
            } else world.dispatcher.cutAll(new WeirError("DRAINING", "Cannot go on: stopping"));
          }
          // Time ends every chat, if nothing else does.
          world.pass(TIMEOUTS.total);
          // A counter ends each count, be it as it stops.
          world.counter.answer(undefined);

          expect(world.results).toHaveLength(1);
          const [result] = world.results;
          expect(result?.kind === OutcomeKind.ANSWERED).toBe(result?.failure === undefined);
          expect(result?.attempts).toHaveLength(world.calls.length);
          const answered = result?.attempts.filter(({ outcome }) => outcome === OutcomeKind.ANSWERED) ?? [];
          expect(answered).toHaveLength(result?.kind === OutcomeKind.ANSWERED ? 1 : 0);
          // Who had content began the answer, and nobody was tried after it.
          const withContent = result?.attempts.filter(({ firstContentAtMs }) => firstContentAtMs !== undefined) ?? [];
          expect(withContent).toHaveLength(world.sink.head === undefined ? 0 : 1);
          if (withContent.length === 1) expect(result?.attempts.at(-1)).toBe(withContent[0]);
          for (const { usage } of withContent) {
            const tokens = [...(usage?.quantities.values() ?? [])].reduce((sum, count) => sum + count, 0);
            expect(tokens).toBeGreaterThan(0);
          }
          expect(world.dispatcher.openChats).toBe(0);
          expect(world.sweep.size).toBe(0);
          expect(world.memory.usedBytes).toBe(0);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
