import { create, toBinary } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type ChatInput, ChatInputSchema, type Usage } from "../../gen/weir/router/v1/chat_pb.ts";
import {
  type ChatService,
  type CompleteResponse,
  CompleteResponseSchema,
  type StreamResponse,
  StreamResponseSchema,
} from "../../gen/weir/router/v1/chat_service_pb.ts";
import type { Clock } from "../shared/clock.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createEventId } from "../shared/ids.ts";
import type { AnswerFailure, AnswerHead, AnswerSink, ChatCall, SinkListener } from "./arrival/call.ts";
import { findClientRequestId, pickCallerHeaders, toAnswerHeaders } from "./arrival/http-headers.ts";
import type { Chats } from "./chat.ts";
import type { Dialect, PieceReader } from "./providers/dialect.ts";
import { findDialect } from "./providers/registry.ts";

type Piece = StreamResponse["piece"];

/** Pieces that wait for a slow caller before the provider is paused. */
const PIECES_WAITING = 256;

/** Serves ChatService: typed messages in, typed messages out, the same spine between them. */
export function createChatService(options: {
  readonly chats: Pick<Chats, "start" | "greet">;
  readonly clock: Clock;
}): ServiceImpl<typeof ChatService> {
  const { chats, clock } = options;
  const toCall = (input: ChatInput | undefined, streamed: boolean, context: HandlerContext): ChatCall => {
    const headers = pickCallerHeaders({
      authorization: context.requestHeader.get("authorization") ?? undefined,
      "x-api-key": context.requestHeader.get("x-api-key") ?? undefined,
      "api-key": context.requestHeader.get("api-key") ?? undefined,
    });
    const arrivedAtMs = clock.nowMs();
    const eventId = createEventId(arrivedAtMs);
    context.responseHeader.set("x-request-id", eventId);
    const greeting = chats.greet(headers);
    if (greeting instanceof WeirError) throw greeting;
    if (input === undefined) throw new WeirError("ARGUMENT_INVALID", 'Cannot start call: "input" is missing');
    const timeoutMs = context.timeoutMs();
    const arrivedMonotonicMs = clock.monotonicMs();
    return {
      ...describeInput(input),
      eventId,
      arrivedAtMs,
      arrivedMonotonicMs,
      surface: "grpc",
      headers,
      greeting,
      streamed,
      relayedHeaders: [],
      ...(timeoutMs !== undefined && { deadlineMonotonicMs: arrivedMonotonicMs + timeoutMs }),
    };
  };
  return {
    complete: ({ input }, context) =>
      new Promise<CompleteResponse>((resolve, reject) => {
        const call = toCall(input, false, context);
        chats.start(call, new UnarySink(context, resolve, reject));
      }),
    async *stream({ input }, context) {
      const sink = new StreamSink(context);
      chats.start(toCall(input, true, context), sink);
      try {
        yield* sink.pieces();
      } finally {
        sink.leave();
      }
    },
  };
}

function describeInput(input: ChatInput) {
  return {
    model: input.model,
    request: { dialect: undefined, input },
    requestBytes: countBytes(input),
    maxOutputTokens: input.maxOutputTokens,
    candidates: Math.max(1, input.candidates),
    endUser: isPlain(input.endUser) ? input.endUser : "",
  };
}

/** Bytes of the request in the form that bounds its tokens: each token has at least one byte of text. */
function countBytes(input: ChatInput): number {
  return toBinary(ChatInputSchema, input).length;
}

/** It is stored and shown; see the scanner of the OpenAI surface. */
function isPlain(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return !/[\u0000-\u001f\u007f]/.test(text);
}

/** What both kinds of answer share: metadata, and a caller who may leave. */
abstract class TypedSink {
  protected readonly context: HandlerContext;
  protected listener: SinkListener | undefined;
  protected head: AnswerHead | undefined;
  readonly #onAbort = () => this.gone();

  constructor(context: HandlerContext) {
    this.context = context;
  }

  listen(listener: SinkListener): void {
    this.listener = listener;
    const { signal } = this.context;
    if (signal.aborted) this.gone();
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  begin(head: AnswerHead): void {
    this.head = head;
    this.tell(head);
  }

  protected dialect(): Dialect {
    const dialect = this.head?.dialect === undefined ? undefined : findDialect(this.head.dialect);
    if (dialect === undefined) throw new WeirError("INTERNAL", "Cannot answer: the dialect of the answer is unknown");
    return dialect;
  }

  protected tell(head: AnswerHead): void {
    const clientRequestId = findClientRequestId({
      "x-client-request-id": this.context.requestHeader.get("x-client-request-id") ?? undefined,
      "x-request-id": this.context.requestHeader.get("x-request-id") ?? undefined,
    });
    for (const [name, value] of Object.entries(toAnswerHeaders(head, clientRequestId))) {
      this.context.responseHeader.set(name, value);
    }
  }

  protected close(): void {
    this.listener = undefined;
    this.context.signal.removeEventListener("abort", this.#onAbort);
  }

  protected gone(): void {
    const { listener } = this;
    this.listener = undefined;
    listener?.onGone();
  }
}

/** Gathers an answer in one piece. */
class UnarySink extends TypedSink implements AnswerSink {
  readonly #resolve: (response: CompleteResponse) => void;
  readonly #reject: (error: WeirError) => void;
  #whole: Buffer = Buffer.alloc(0);

  constructor(
    context: HandlerContext,
    resolve: (response: CompleteResponse) => void,
    reject: (error: WeirError) => void,
  ) {
    super(context);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  write(bytes: Buffer): boolean {
    this.#whole = bytes;
    return true;
  }

  end(getUsage: () => Usage): void {
    this.close();
    try {
      const { providerModel, candidates, extras } = this.dialect().toTypedAnswer(this.#whole);
      this.#resolve(
        create(CompleteResponseSchema, {
          id: this.head?.eventId ?? "",
          target: this.head?.target ?? "",
          providerModel,
          candidates,
          usage: getUsage(),
          ...(extras !== undefined && { extras }),
        }),
      );
    } catch (cause) {
      this.#reject(new WeirError("INTERNAL", "Cannot answer: the provider's answer has no typed form", { cause }));
    }
  }

  fail(head: AnswerHead, { error }: AnswerFailure): void {
    this.close();
    this.tell(head);
    this.#reject(error);
  }
}

/** Hands an answer on piece by piece, to a generator that its caller reads. */
class StreamSink extends TypedSink implements AnswerSink {
  #queue: Piece[] = [];
  #reader: PieceReader | undefined;
  #begun = false;
  #end: { readonly error?: WeirError } | undefined;
  #wake: () => void = () => undefined;

  async *pieces(): AsyncGenerator<StreamResponse> {
    for (;;) {
      while (this.#queue.length > 0) {
        const pieces = this.#queue;
        this.#queue = [];
        for (const piece of pieces) yield create(StreamResponseSchema, { piece });
        this.listener?.onDrain();
      }
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** The generator is no longer read. */
  leave(): void {
    this.gone();
    this.close();
  }

  override begin(head: AnswerHead): void {
    super.begin(head);
    this.#reader = this.dialect().createPieceReader();
  }

  write(bytes: Buffer): boolean {
    const reader = this.#reader;
    if (reader === undefined) return true;
    const pieces = reader.read(bytes);
    if (!this.#begun) {
      this.#begun = true;
      const value = {
        id: this.head?.eventId ?? "",
        target: this.head?.target ?? "",
        providerModel: reader.providerModel,
      };
      this.#queue.push(create(StreamResponseSchema, { piece: { case: "started", value } }).piece);
    }
    this.#queue.push(...pieces);
    this.#wake();
    return this.#queue.length < PIECES_WAITING;
  }

  end(getUsage: () => Usage): void {
    this.close();
    const extras = this.#reader?.extras;
    this.#queue.push(...(this.#reader?.end() ?? []));
    const ended = { usage: getUsage(), ...(extras !== undefined && { extras }) };
    this.#queue.push(create(StreamResponseSchema, { piece: { case: "ended", value: ended } }).piece);
    this.#end = {};
    this.#wake();
  }

  fail(head: AnswerHead, { error }: AnswerFailure): void {
    this.close();
    if (this.head === undefined) this.tell(head);
    this.#end = { error };
    this.#wake();
  }
}
