import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { ChatService, type CompleteRequest, type StreamRequest } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { createEventId } from "../../shared/ids.ts";
import { createRequestCheck } from "../../shared/mesh/check-request.ts";
import { EnvelopeReader } from "../../shared/mesh/envelope.ts";
import type { HotCall, HotMethod } from "../../shared/mesh/hot-rpc.ts";
import { requireFewFields } from "../../shared/validation/few-values.ts";
import type { CallerHeaders } from "../admission/credentials.ts";
import { readAskedFallback } from "../arrival/asked-fallback.ts";
import { readAskedTimeouts } from "../arrival/asked-timeouts.ts";
import type { Greeting, StartChat } from "../arrival/call.ts";
import { pickCallerHeaders } from "../arrival/http-headers.ts";
import { MOST_CALL_VALUES } from "../arrival/most-call-values.ts";
import type { ReadBodyOptions } from "../arrival/read-body.ts";
import { GrpcStreamSink, GrpcUnarySink } from "./grpc-sink.ts";
import { toTypedCall } from "./typed-call.ts";

/** What the surface hands on to, and how it reads. */
export interface GrpcSurfaceOptions {
  readonly startChat: StartChat;
  /** Looks at a caller before its message is read. Returns what is wrong; it has counted that. */
  readonly greet: (headers: CallerHeaders) => Greeting | WeirError;
  readonly body: ReadBodyOptions;
  /** How long a message may take to arrive, however large, milliseconds. */
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
}

/** Serves ChatService to gRPC off the HTTP/2 stream: the same messages, rules and answers as `chat-service.ts`, on the same spine. */
export function createGrpcSurface(options: GrpcSurfaceOptions): HotMethod[] {
  return [ChatService.method.complete, ChatService.method.stream].map((method) => {
    const served = {
      method,
      isStreamed: method.methodKind === "server_streaming",
      check: createRequestCheck(method.input),
    };
    return { method, open: (call) => new GrpcArrival(options, served, call).begin() };
  });
}

/** One of the two methods. */
interface Served {
  readonly method: DescMethod;
  readonly isStreamed: boolean;
  readonly check: (message: CompleteRequest | StreamRequest, bytes: Buffer) => void;
}

/** A request of either method: they have the same fields. */
interface ParsedRequest {
  readonly message: CompleteRequest | StreamRequest;
  readonly bytes: Buffer;
}

/** How long a message may take however small it is, and the slowest that it may come after that, as in `read-body.ts`. */
const GRACE_MS = 10_000;
const SLOWEST_BYTES_PER_MS = 16;
/** How long a caller may take to read the rest of its answer: the grace, and then at least so much on average. */
const READING_GRACE_MS = 30_000;

/**
 * One call on its way in, watched from its first byte to its last. *Greeting*: the key is looked at. *Reading*: the message comes;
 * its bytes count against the memory for bodies until the answer is over. *Answering*: the spine has the call and its deadline.
 * *Ended*: the caller reads what is left.
 */
class GrpcArrival {
  readonly #options: GrpcSurfaceOptions;
  readonly #served: Served;
  readonly #call: HotCall;
  readonly #arrivedAtMs: number;
  readonly #arrivedMonotonicMs: number;
  #countedBytes = 0;
  #deadlineIsOfCaller = false;
  #hasEnded = false;
  /** For the sweep. */
  deadlineMs = Number.POSITIVE_INFINITY;

  constructor(options: GrpcSurfaceOptions, served: Served, call: HotCall) {
    this.#options = options;
    this.#served = served;
    this.#call = call;
    this.#arrivedAtMs = options.clock.nowMs();
    this.#arrivedMonotonicMs = options.clock.monotonicMs();
  }

  begin(): void {
    const { body, greet } = this.#options;
    const call = this.#call;
    const eventId = createEventId(this.#arrivedAtMs);
    call.tell({ "x-request-id": eventId });
    const headers = pickCallerHeaders(call.headers);
    const greeting = greet(headers);
    if (greeting instanceof WeirError) throw greeting;
    body.deadlines.add(this);
    call.onClosed(() => {
      body.deadlines.remove(this);
      this.#release();
    });
    this.#read((request) => this.#start(request, { eventId, headers, greeting }));
  }

  onDeadline(): void {
    if (this.#hasEnded) {
      this.#call.abandon();
      return;
    }
    // What has come to its deadline is no longer watched.
    this.#options.body.deadlines.add(this);
    this.#fail(
      this.#deadlineIsOfCaller
        ? new WeirError("DEADLINE_EXCEEDED", "Cannot read body: the caller's deadline has passed")
        : new WeirError("BODY_TOO_SLOW", "Cannot read body: it comes too slowly"),
    );
  }

  #read(done: (request: ParsedRequest) => void): void {
    const { limitBytes, memory } = this.#options.body;
    const { body } = this.#call;
    const reader = new EnvelopeReader(limitBytes, this.#served.isStreamed ? "server-streaming" : "unary", (bytes) =>
      this.#parse(bytes),
    );
    const guard = (act: () => void) => {
      if (this.#call.isOver) return;
      try {
        act();
      } catch (error) {
        this.#fail(error);
      }
    };
    this.#limitReading();
    body.on("data", (chunk: Buffer) =>
      guard(() => {
        memory.take(chunk.length);
        this.#countedBytes += chunk.length;
        reader.push(chunk);
        this.#limitReading();
      }),
    );
    body.once("end", () => guard(() => done(reader.end())));
  }

  #start(
    { message, bytes }: ParsedRequest,
    known: { readonly eventId: string; readonly headers: CallerHeaders; readonly greeting: Greeting },
  ) {
    const { check, isStreamed } = this.#served;
    check(message, bytes);
    const chat = toTypedCall({
      ...known,
      arrivedAtMs: this.#arrivedAtMs,
      arrivedMonotonicMs: this.#arrivedMonotonicMs,
      receivedMonotonicMs: this.#options.clock.monotonicMs(),
      input: message.input,
      streamed: isStreamed,
      requestBytes: bytes.length,
      timeouts: readAskedTimeouts(this.#call.headers),
      fallback: readAskedFallback(this.#call.headers),
      timeoutMs: this.#call.timeoutMs,
    });
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const onOver = () => this.#end();
    const sink = isStreamed ? new GrpcStreamSink(this.#call, onOver) : new GrpcUnarySink(this.#call, onOver);
    this.#options.startChat(chat, sink);
  }

  #parse(bytes: Buffer): ParsedRequest {
    requireFewFields(this.#served.method.input, bytes, MOST_CALL_VALUES);
    try {
      return { message: fromBinary(this.#served.method.input, bytes) as ParsedRequest["message"], bytes };
    } catch {
      throw new WeirError("BODY_MALFORMED", "Cannot read request: the bytes are not a message of the method's type");
    }
  }

  #limitReading(): void {
    const paceMs = GRACE_MS + this.#countedBytes / SLOWEST_BYTES_PER_MS;
    const ownMs = Math.min(paceMs, this.#options.requestTimeoutMs);
    const callerMs = this.#call.timeoutMs ?? Number.POSITIVE_INFINITY;
    this.#deadlineIsOfCaller = callerMs < ownMs;
    this.deadlineMs = this.#arrivedMonotonicMs + Math.min(ownMs, callerMs);
  }

  #fail(error: unknown): void {
    this.#call.fail(error);
    this.#end();
  }

  /** The answer is whole, or there will be none: what came is let go, and a caller who does not read must not stay for ever. */
  #end(): void {
    this.#release();
    this.#hasEnded = true;
    this.deadlineMs =
      this.#options.clock.monotonicMs() + READING_GRACE_MS + this.#call.unreadBytes / SLOWEST_BYTES_PER_MS;
  }

  #release(): void {
    this.#options.body.memory.give(this.#countedBytes);
    this.#countedBytes = 0;
  }
}
