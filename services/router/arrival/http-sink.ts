import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerResponse } from "node:http2";
import type { Usage } from "../../../gen/weir/router/v1/chat_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { AnswerFailure, AnswerHead, AnswerSink, SinkListener } from "./call.ts";
import type { CallerFormat } from "./caller-format.ts";
import { findClientRequestId, listAnswerHeaders, toAnswerHeaders } from "./http-headers.ts";
import { KeepAlive, type SilenceListener } from "./keep-alive.ts";
import type { Deadlines } from "./read-body.ts";
import { StreamBody } from "./stream-body.ts";
import { type AskedAnswer, createTranslation, type Translation } from "./translation.ts";

/** What a sink is told of its request. */
export interface HttpSinkOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The caller's. */
  readonly format: CallerFormat;
  readonly asked: AskedAnswer;
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

/**
 * Sends an answer over HTTP: a stream piece by piece, any other in one. What a target of the caller's format says goes on as it came;
 * what another one says is written anew in that format.
 */
export class HttpSink implements AnswerSink, SilenceListener {
  readonly #response: ServerResponse;
  readonly #clientRequestId: string | undefined;
  readonly #format: CallerFormat;
  readonly #asked: AskedAnswer;
  readonly #onOver: () => void;
  readonly #deadlines: Deadlines;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #head: AnswerHead | undefined;
  #translation: Translation | undefined;
  #whole: Buffer | undefined;
  /** Of a stream that began. */
  #stream: StreamBody | undefined;
  #listener: SinkListener | undefined;
  #awaitsDrain = false;
  #keepAlive: KeepAlive | undefined;

  constructor({ request, response, format, asked, onOver, deadlines, clock }: HttpSinkOptions) {
    this.#deadlines = deadlines;
    this.#clock = clock;
    this.#response = response;
    this.#clientRequestId = findClientRequestId(request.headers);
    this.#format = format;
    this.#asked = asked;
    this.#onOver = onOver;
  }

  listen(listener: SinkListener, head: AnswerHead): void {
    const response = this.#response;
    this.#listener = listener;
    if (this.#asked.streamed) {
      this.#head = head;
      this.#keepAlive = new KeepAlive(this.#deadlines, this.#clock, this);
    }
    response.on("close", () => {
      this.#listener?.onGone();
      this.#close();
    });
    if (response.destroyed || response.closed) listener.onGone();
  }

  begin(head: AnswerHead): void {
    this.#head = head;
    const { way } = head;
    if (way !== undefined && way.kind === "typed" && way.format.format !== this.#format.format) {
      this.#translation = createTranslation(this.#format, way.format, this.#asked, head);
    }
    if (this.#asked.streamed && this.#stream === undefined) this.#beginStream(head);
  }

  #beginStream(head: AnswerHead): void {
    const headers = this.#listHeaders(head);
    headers.push("content-type", "text/event-stream; charset=utf-8", "cache-control", "no-cache");
    // Nginx, if one stands before, must not gather what is meant to flow.
    headers.push("x-accel-buffering", "no");
    this.#response.writeHead(200, headers);
    this.#stream = new StreamBody(this.#response);
  }

  write(bytes: Buffer): boolean {
    const translation = this.#translation;
    if (!this.#asked.streamed) {
      if (translation === undefined) this.#whole = bytes;
      else translation.readWhole(bytes);
      return true;
    }
    const written = translation === undefined ? bytes : translation.read(bytes);
    if (written.length === 0) return true;
    if (this.#keepAlive !== undefined) this.#keepAlive.hasSent = true;
    if (this.#stream?.write(written) !== false) return true;
    this.#awaitDrain();
    return false;
  }

  end(getUsage: () => Usage): void {
    const response = this.#response;
    const translation = this.#translation;
    // Before anything is said of the end: what can't be written is an error still.
    const last = translation?.end(getUsage());
    this.#listener = undefined;
    if (this.#stream !== undefined) {
      this.#stream.end(last);
    } else {
      const body = last ?? this.#whole ?? NO_BYTES;
      const headers = this.#head === undefined ? [] : this.#listHeaders(this.#head);
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
      if (response.headersSent) this.#breakOff(head, failure);
      else this.#refuse(head, failure);
    }
    this.#close();
  }

  /**
   * Ends a stream that began with an error event, which clients raise, and an aborted body: without either, a cut answer
   * would look like a whole one. No mark of a whole answer is sent.
   */
  #breakOff(head: AnswerHead, failure: AnswerFailure): void {
    const end = () => {
      this.#deadlines.remove(watched);
      abort(this.#response);
    };
    const watched = { deadlineMs: this.#clock.monotonicMs() + FAREWELL_MS, onDeadline: end };
    this.#deadlines.add(watched);
    this.#stream?.write(this.#format.composeStreamError(failure, head), end);
  }

  /**
   * Breaks a long silence. Before the first content that means to send the head of the answer, though it is not known yet who answers, or
   * whether anybody does: from here on a failure can't have a status of its own any longer, and ends the stream as an event.
   * Other targets are still tried unseen, since nothing of an answer has been sent.
   */
  onSilence(): void {
    const response = this.#response;
    // Nothing is silent that has not been read yet.
    if (this.#listener === undefined || response.destroyed || this.#awaitsDrain) return;
    if (this.#stream === undefined && this.#head !== undefined) this.#beginStream(this.#head);
    if (this.#stream?.write(this.#format.keepAlive) === false) this.#awaitDrain();
  }

  /** Listens only once there is something to wait for, which with most answers is never. */
  #awaitDrain(): void {
    if (this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    this.#stream?.onceDrained(() => {
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
    const { status, headers, body } = this.#format.composeError(failure, head);
    this.#response.writeHead(status, {
      ...toAnswerHeaders(head, this.#clientRequestId, this.#format),
      ...headers,
      "content-type": "application/json",
      "content-length": String(body.length),
    });
    this.#response.end(body);
  }

  #listHeaders(head: AnswerHead): string[] {
    const headers = listAnswerHeaders(head, this.#clientRequestId);
    const own = this.#format.listHeaders(head);
    if (own.length > 0) headers.push(...own);
    return headers;
  }

  #close(): void {
    this.#keepAlive?.stop();
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
