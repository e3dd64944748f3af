import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";
import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { WeirError } from "../errors/weir-error.ts";
import { type CallGate, checkRequest, type Decision } from "./call-gate.ts";
import type { SettleCall } from "./settle-call.ts";

/**
 * A method that is served off its HTTP/2 stream, without the RPC library's adapter: for gRPC in binary, uncompressed. All other
 * protocols and forms of it go to the library's handler, which serves the same method.
 */
export interface HotMethod {
  readonly method: DescMethod;
  /** Takes a call when its headers are here, before its body is. What it throws is the answer. */
  readonly open: (call: HotCall) => void;
}

/** Hears of the caller of a hot call. */
export interface HotCallListener {
  /** The caller has read what was sent: more can be. */
  onDrain(): void;
  /** The caller is gone, or the server cut the call. Called at most once, and never after `end` or `fail`. */
  onGone(): void;
}

/** Finds the hot calls among the streams of a server. */
export interface HotRpcs {
  /** Takes a stream that is a hot call. Returns whether it did; it has touched nothing when it did not. */
  take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean;
}

const CONTENT_TYPES = new Set(["application/grpc", "application/grpc+proto"]);

/**
 * Serves methods from their streams, past the same gate as the library's. When `draining` aborts, calls end that never would by themselves:
 * those whose method begins with "Watch". When `shutdown` aborts, all that are left are told that the instance is draining.
 */
export function createHotRpcs(options: {
  readonly methods: readonly HotMethod[];
  readonly gate: CallGate;
  readonly settle: SettleCall;
  readonly draining: AbortSignal;
  readonly shutdown: AbortSignal;
}): HotRpcs {
  const { gate, settle, draining, shutdown } = options;
  const methods = new Map(options.methods.map((hot) => [`/${hot.method.parent.typeName}/${hot.method.name}`, hot]));
  const open = new Set<HotCall>();
  const cut = (isMeant: (call: HotCall) => boolean): void => {
    const error = new WeirError("DRAINING", "Cannot go on answering: the instance is draining");
    for (const call of [...open].filter(isMeant)) call.cut(error);
  };
  draining.addEventListener("abort", () => cut(({ isWatch }) => isWatch));
  shutdown.addEventListener("abort", () => cut(() => true));
  const enter = (call: HotCall, hot: HotMethod, decision: Decision): void => {
    try {
      if (call.admit(decision)) hot.open(call);
    } catch (error) {
      call.fail(error);
    }
  };
  return {
    take(stream, headers) {
      const hot = methods.get(headers[":path"] ?? "");
      if (hot === undefined || !isPlainGrpc(headers)) return false;
      const timeoutMs = parseTimeout(headers["grpc-timeout"]);
      if (timeoutMs === "malformed") return false;
      const call = new HotCall({ stream, headers, timeoutMs, method: hot.method, settle, open });
      // A session that broke off meanwhile has no socket any more, and nobody to be served.
      const socket = stream.session?.socket;
      if (socket === undefined) return true;
      const decided = gate(hot.method, { headers, socket });
      if (decided instanceof Promise) void decided.then((decision) => enter(call, hot, decision));
      else enter(call, hot, decided);
      return true;
    },
  };
}

function isPlainGrpc(headers: IncomingHttpHeaders): boolean {
  const encoding = headers["grpc-encoding"];
  return (
    CONTENT_TYPES.has(headers["content-type"] ?? "") &&
    headers[":method"] === "POST" &&
    headers[":authority"] !== undefined &&
    (encoding === undefined || encoding === "identity")
  );
}

const UNITS_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };

function parseTimeout(value: string | string[] | undefined): number | "malformed" | undefined {
  if (value === undefined) return undefined;
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(String(value)) ?? [];
  return digits === undefined || unit === undefined ? "malformed" : Number(digits) * UNITS_MS[unit]!;
}

const OK = { "grpc-status": "0" };
/** `waitForTrailers`: the stream stays open after its last message until they are sent. */
const WITH_TRAILERS = { waitForTrailers: true };

/** A call on its stream. Its messages go out as they are sent; its trailers say how it ended. */
export class HotCall {
  /** The metadata, as node:http2 gives headers. */
  readonly headers: IncomingHttpHeaders;
  /** How long the caller waits, milliseconds from its arrival. Absent when it does not say. */
  readonly timeoutMs: number | undefined;
  readonly #stream: ServerHttp2Stream;
  readonly #method: string;
  readonly #settle: SettleCall;
  readonly #open: Set<HotCall>;
  readonly #beganMs = performance.now();
  readonly #answerHeaders: Record<string, string | number> = {
    ":status": 200,
    "content-type": "application/grpc+proto",
  };
  /** Whether it would never end by itself. */
  readonly isWatch: boolean;
  #decision: Exclude<Decision, { readonly refusal: ConnectError }> = "open";
  #trailers: Record<string, string> = OK;
  #listener: HotCallListener | undefined;
  #isOver = false;

  constructor(options: {
    readonly stream: ServerHttp2Stream;
    readonly headers: IncomingHttpHeaders;
    readonly timeoutMs: number | undefined;
    readonly method: DescMethod;
    readonly settle: SettleCall;
    readonly open: Set<HotCall>;
  }) {
    const { stream, method } = options;
    this.headers = options.headers;
    this.timeoutMs = options.timeoutMs;
    this.#stream = stream;
    this.#method = `${method.parent.typeName}/${method.name}`;
    this.isWatch = method.name.startsWith("Watch");
    this.#settle = options.settle;
    this.#open = options.open;
    this.#open.add(this);
    // What breaks a stream closes it too. Without a listener the error would end the process.
    stream.on("error", () => undefined);
    stream.once("close", () => this.#leave());
    stream.once("wantTrailers", () => {
      stream.sendTrailers(this.#trailers);
      // After the whole answer, without an error (RFC 9113, section 8.1): the caller may stop sending.
      if (!stream.readableEnded) setImmediate(() => stream.close());
    });
  }

  /** Takes what the gate has decided: whether the call goes on. One that is refused has its answer then. */
  admit(decision: Decision): boolean {
    if (decision !== "open" && "refusal" in decision) {
      this.fail(decision.refusal);
      return false;
    }
    this.#decision = decision;
    return !this.#isOver;
  }

  /** Refuses a request that goes beyond what its caller may do. Call it before anything is said of what is in the message. */
  checkRequest(message: Message): void {
    checkRequest(this.#decision, message);
  }

  /** The bytes that come. Whoever fails a call need not read them to their end. */
  get body(): Readable {
    return this.#stream;
  }

  /** Whether the answer is whole or has failed, or the caller is gone: nothing more can be sent. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Says who is to hear of the caller. One who is gone already is told of at once. */
  listen(listener: HotCallListener): void {
    if (this.#isOver) {
      listener.onGone();
      return;
    }
    this.#listener = listener;
    this.#stream.on("drain", () => this.#listener?.onDrain());
  }

  /** Adds metadata to the answer's beginning. Of no effect once something was sent. */
  tell(headers: Readonly<Record<string, string>>): void {
    Object.assign(this.#answerHeaders, headers);
  }

  /** Sends messages that are in envelopes already. False when the caller reads slower: wait for `onDrain`. */
  send(envelopes: Buffer): boolean {
    if (this.#isOver) return true;
    this.#begin();
    return this.#stream.write(envelopes);
  }

  /** Ends the call well, with last messages if there are any. */
  end(envelopes?: Buffer): void {
    if (this.#isOver) return;
    this.#settle(this.#method, this.#beganMs);
    this.#finish(envelopes);
  }

  /** Ends the call with what went wrong, as its caller may see it. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    const sent = this.#settle(this.#method, this.#beganMs, error) as ConnectError;
    this.#trailers = Object.fromEntries(setTrailerStatus(new Headers(), sent));
    this.#finish();
  }

  /** Ends the call with an error while others still work on it: they are told that the caller is gone. */
  cut(error: WeirError): void {
    const listener = this.#listener;
    this.fail(error);
    listener?.onGone();
  }

  /** Resets the stream, for a caller who does not read its answer. */
  abandon(): void {
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Calls `listener` when the stream is closed: everything sent is on its way, or can no longer be. */
  onClosed(listener: () => void): void {
    this.#stream.once("close", listener);
  }

  /** Bytes of the answer that the caller has not taken yet. */
  get unreadBytes(): number {
    return this.#stream.writableLength;
  }

  #begin(): void {
    if (!this.#stream.headersSent) this.#stream.respond(this.#answerHeaders, WITH_TRAILERS);
  }

  #finish(envelopes?: Buffer): void {
    const stream = this.#stream;
    this.#isOver = true;
    this.#listener = undefined;
    this.#open.delete(this);
    if (stream.destroyed || stream.closed) return;
    this.#begin();
    if (!stream.readableEnded) {
      // The caller may still be sending what nobody wants: thrown away until the answer is out, then refused.
      stream.removeAllListeners("data");
      stream.resume();
    }
    if (envelopes === undefined) stream.end();
    else stream.end(envelopes);
  }

  /** The stream closed. Before the end of the answer that means that the caller left. */
  #leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#open.delete(this);
    this.#settle(this.#method, this.#beganMs, new WeirError("CALLER_GONE", "Cannot answer: the caller is gone"));
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.onGone();
  }
}
