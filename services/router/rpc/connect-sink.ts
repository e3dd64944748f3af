import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import type { Usage } from "../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import type { WeirError } from "../../shared/errors/weir-error.ts";
import type { AnswerFailure, AnswerHead, AnswerSink, SinkListener } from "../arrival/call.ts";
import { findClientRequestId, toAnswerHeaders } from "../arrival/http-headers.ts";
import { TypedStream } from "./typed-answer.ts";

/** Pieces that wait for a slow caller before the provider is paused. */
const PIECES_WAITING = 256;

/** What both kinds of answer share: metadata, and a caller who may leave. */
abstract class ConnectSink {
  protected readonly context: HandlerContext;
  protected listener: SinkListener | undefined;
  protected head: AnswerHead | undefined;
  readonly #onAbort = () => {
    const { reason } = this.context.signal;
    // Its deadline ends the chat by itself, and with that name.
    if (!(reason instanceof ConnectError) || reason.code !== Code.DeadlineExceeded) this.gone();
  };

  constructor(context: HandlerContext) {
    this.context = context;
  }

  listen(listener: SinkListener): void {
    this.listener = listener;
    const { signal } = this.context;
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  begin(head: AnswerHead): void {
    this.head = head;
    this.tell(head);
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

/** Makes the response of an answer in one piece; throws when it can't. */
export type ToResponse<Response> = (head: AnswerHead | undefined, body: Buffer, usage: Usage) => Response;

/** Gathers an answer in one piece. */
export class ConnectUnarySink<Response> extends ConnectSink implements AnswerSink {
  readonly #toResponse: ToResponse<Response>;
  readonly #answer: PromiseWithResolvers<Response>;
  #whole: Buffer = Buffer.alloc(0);

  constructor(context: HandlerContext, toResponse: ToResponse<Response>) {
    super(context);
    this.#toResponse = toResponse;
    this.#answer = Promise.withResolvers();
  }

  /** Settles when the answer is whole, or there is none. */
  get response(): Promise<Response> {
    return this.#answer.promise;
  }

  write(bytes: Buffer): boolean {
    this.#whole = bytes;
    return true;
  }

  end(getUsage: () => Usage): void {
    this.close();
    try {
      this.#answer.resolve(this.#toResponse(this.head, this.#whole, getUsage()));
    } catch (error) {
      this.#answer.reject(error);
    }
  }

  fail(head: AnswerHead, { error }: AnswerFailure): void {
    this.close();
    this.tell(head);
    this.#answer.reject(error);
  }
}

/** Hands an answer on piece by piece, to a generator that its caller reads. */
export class ConnectStreamSink extends ConnectSink implements AnswerSink {
  #queue: StreamResponse[] = [];
  #typed: TypedStream | undefined;
  #end: { readonly error?: WeirError } | undefined;
  #wake: () => void = () => undefined;

  async *pieces(): AsyncGenerator<StreamResponse> {
    for (;;) {
      while (this.#queue.length > 0) {
        const pieces = this.#queue;
        this.#queue = [];
        yield* pieces;
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
    this.#typed = new TypedStream(head);
  }

  write(bytes: Buffer): boolean {
    this.#queue.push(...(this.#typed?.read(bytes) ?? []));
    this.#wake();
    return this.#queue.length < PIECES_WAITING;
  }

  end(getUsage: () => Usage): void {
    this.close();
    this.#queue.push(...(this.#typed?.end(getUsage()) ?? []));
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
