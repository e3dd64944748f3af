import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerResponse } from "node:http2";
import type { Clock } from "../../shared/clock.ts";
import type { AnswerFailure, AnswerHead, AnswerSink, SinkListener } from "./call.ts";
import { findClientRequestId, listAnswerHeaders, toAnswerHeaders } from "./http-headers.ts";
import { toOpenAiError } from "./openai-error.ts";
import type { Deadlines } from "./read-body.ts";

/** What a sink is told of its request. */
export interface OpenAiSinkOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly streamed: boolean;
  /** Called when the answer is over or the caller gone, perhaps more than once. */
  readonly onOver: () => void;
  readonly deadlines: Deadlines;
  readonly clock: Pick<Clock, "monotonicMs">;
}

/** How long a caller may take to read the error that ends its stream. */
const FAREWELL_MS = 2_000;
/** How long it may take to read the rest of a whole answer: the grace, and then at least so much on average. */
const GRACE_MS = 30_000;
const SLOWEST_BYTES_PER_MS = 16;

const NO_BYTES = Buffer.alloc(0);

/** Sends an answer over HTTP in the OpenAI dialect: a stream piece by piece, any other in one. */
export class OpenAiSink implements AnswerSink {
  readonly #response: ServerResponse;
  readonly #clientRequestId: string | undefined;
  readonly #streamed: boolean;
  readonly #onOver: () => void;
  readonly #deadlines: Deadlines;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #head: AnswerHead | undefined;
  #whole: Buffer | undefined;
  #listener: SinkListener | undefined;
  #awaitsDrain = false;

  constructor({ request, response, streamed, onOver, deadlines, clock }: OpenAiSinkOptions) {
    this.#deadlines = deadlines;
    this.#clock = clock;
    this.#response = response;
    this.#clientRequestId = findClientRequestId(request.headers);
    this.#streamed = streamed;
    this.#onOver = onOver;
  }

  listen(listener: SinkListener): void {
    const response = this.#response;
    this.#listener = listener;
    response.on("close", () => {
      this.#listener?.onGone();
      this.#close();
    });
    if (response.destroyed || response.closed) listener.onGone();
  }

  begin(head: AnswerHead): void {
    this.#head = head;
    if (!this.#streamed) return;
    const headers = listAnswerHeaders(head, this.#clientRequestId);
    headers.push("content-type", "text/event-stream; charset=utf-8", "cache-control", "no-cache");
    // Nginx, if one stands before, must not gather what is meant to flow.
    headers.push("x-accel-buffering", "no");
    this.#response.writeHead(200, headers);
  }

  write(bytes: Buffer): boolean {
    if (!this.#streamed) {
      this.#whole = bytes;
      return true;
    }
    if (this.#response.write(bytes)) return true;
    this.#awaitDrain();
    return false;
  }

  end(): void {
    const response = this.#response;
    this.#listener = undefined;
    if (this.#streamed) {
      response.end();
    } else {
      const body = this.#whole ?? NO_BYTES;
      const headers = this.#head === undefined ? [] : listAnswerHeaders(this.#head, this.#clientRequestId);
      headers.push("content-type", "application/json", "content-length", String(body.length));
      response.writeHead(200, headers);
      response.end(body);
      this.#whole = undefined;
    }
    // Most answers are with the kernel now, and nothing of them is here any longer.
    if (response.writableLength > 0) this.#limitReading();
    this.#close();
  }

  fail(head: AnswerHead, failure: AnswerFailure): void {
    this.#listener = undefined;
    const response = this.#response;
    if (!response.destroyed && !response.closed) {
      if (response.headersSent) this.#breakOff(failure);
      else this.#refuse(head, failure);
    }
    this.#close();
  }

  /**
   * Ends a stream that began with an error event, which clients raise, and an aborted body: without either, a cut answer
   * would look like a whole one. `[DONE]` is not sent.
   */
  #breakOff(failure: AnswerFailure): void {
    const { body } = toOpenAiError(failure);
    const end = () => {
      this.#deadlines.remove(watched);
      abort(this.#response);
    };
    const watched = { deadlineMs: this.#clock.monotonicMs() + FAREWELL_MS, onDeadline: end };
    this.#deadlines.add(watched);
    this.#response.write(`data: ${JSON.stringify(body)}\n\n`, end);
  }

  /** Listens only once there is something to wait for, which with most answers is never. */
  #awaitDrain(): void {
    if (this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    this.#response.once("drain", () => {
      this.#awaitsDrain = false;
      this.#listener?.onDrain();
    });
  }

  /** A caller that does not read its answer must not keep it in memory for ever. */
  #limitReading(): void {
    const response = this.#response;
    if (response.destroyed) return;
    const limitMs = GRACE_MS + response.writableLength / SLOWEST_BYTES_PER_MS;
    const watched = { deadlineMs: this.#clock.monotonicMs() + limitMs, onDeadline: () => abort(response) };
    this.#deadlines.add(watched);
    response.once("close", () => this.#deadlines.remove(watched));
  }

  #refuse(head: AnswerHead, failure: AnswerFailure): void {
    const { status, headers, body } = toOpenAiError(failure);
    const text = JSON.stringify(body);
    this.#response.writeHead(status, {
      ...toAnswerHeaders(head, this.#clientRequestId),
      ...headers,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    });
    this.#response.end(text);
  }

  #close(): void {
    this.#listener = undefined;
    this.#onOver();
  }
}

/** Ends a body without its end, so that its reader knows. */
function abort(response: ServerResponse): void {
  const { stream } = response as unknown as Partial<Http2ServerResponse>;
  if (stream !== undefined) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else response.destroy();
}
