import type { IncomingMessage, ServerResponse } from "node:http";
import type { Model } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { createEventId } from "../../shared/ids.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { CallerHeaders } from "../admission/credentials.ts";
import { readAskedFallback } from "./asked-fallback.ts";
import { readAskedTimeouts } from "./asked-timeouts.ts";
import type { AnswerHead, ChatCall, Greeting, StartChat } from "./call.ts";
import type { CallerFormat } from "./caller-format.ts";
import { findClientRequestId, pickCallerHeaders, pickRelayedHeaders, toAnswerHeaders } from "./http-headers.ts";
import { HttpSink } from "./http-sink.ts";
import { findModelForm } from "./model-forms.ts";
import { type ReadBody, type ReadBodyOptions, readBody } from "./read-body.ts";
import { sendError } from "./send-error.ts";
import type { Surface } from "./surface.ts";
import { findErrorFormat, findSurface } from "./surfaces.ts";

/** What the surface hands on to, and how it reads. */
export interface HttpSurfaceOptions {
  readonly startChat: StartChat;
  /**
   * Looks at a caller before its body is read, so that nobody without a good key takes memory. Returns what is wrong; it has
   * counted that.
   */
  readonly greet: (headers: CallerHeaders) => Greeting | WeirError;
  /** The models that a caller may ask for. Throws what is wrong with the caller; it has counted that. */
  readonly listModels: (headers: CallerHeaders) => Model[];
  /** Hears of each request that is refused by this surface itself, for a metric. */
  readonly onRefusal: (reason: Reason) => void;
  readonly body: ReadBodyOptions;
  readonly clock: Clock;
  readonly log: Log;
}

const MODELS = "/v1/models";
/** Endpoints of providers that Weir knows of and does not serve. Anything else below /v1 is not found. */
const NOT_SERVED =
  /^\/v1\/(assistants|audio|batches|chat\/completions\/.+|completions|containers|conversations|evals|files|fine_tuning|images|messages|moderations|organization|realtime|responses\/.+|threads|uploads|vector_stores|videos)(\/.*)?$/;

/** The paths of a port that speak the formats of providers. */
export interface HttpSurface {
  /** Takes every request below /v1, so that clients get all refusals in their own format. Returns whether it did. */
  take(request: IncomingMessage, response: ServerResponse): boolean;
  /** Refuses a path that nobody serves. */
  refuseUnknown(request: IncomingMessage, response: ServerResponse): void;
}

/** Serves what stands in the table of surfaces, and the list of models. */
export function createHttpSurface(options: HttpSurfaceOptions): HttpSurface {
  const handle = (request: IncomingMessage, response: ServerResponse, path: string) => {
    const surface = findSurface(path);
    const arrival = new Arrival(options, { request, response, path, surface });
    try {
      if (surface !== undefined) arrival.takeChat(surface);
      else if (path === MODELS) arrival.takeModels();
      else if (path.startsWith(`${MODELS}/`)) arrival.takeModel(path.slice(MODELS.length + 1));
      else arrival.takeUnknown(path);
    } catch (error) {
      arrival.refuse(error);
    }
  };
  return {
    take(request, response) {
      const path = toPath(request);
      if (path !== "/v1" && !path.startsWith("/v1/")) return false;
      handle(request, response, path);
      return true;
    },
    refuseUnknown: (request, response) => handle(request, response, ""),
  };
}

function toPath({ url = "" }: IncomingMessage): string {
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}

/** A request, and where it goes. */
interface Arrived {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  /** The surface of its path, if there is one. */
  readonly surface: Surface | undefined;
}

/** One request on its way in. */
class Arrival {
  readonly #options: HttpSurfaceOptions;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #arrivedAtMs: number;
  readonly #arrivedMonotonicMs: number;
  readonly #path: string;
  readonly #surface: Surface | undefined;
  readonly #head: AnswerHead;

  constructor(options: HttpSurfaceOptions, { request, response, path, surface }: Arrived) {
    this.#options = options;
    this.#request = request;
    this.#response = response;
    this.#path = path;
    this.#surface = surface;
    this.#arrivedAtMs = options.clock.nowMs();
    this.#arrivedMonotonicMs = options.clock.monotonicMs();
    this.#head = { eventId: createEventId(this.#arrivedAtMs) };
    // Without a listener an error of one answer would end the process. Requests have none to tell: node:http gives their errors
    // only to those who listen, and the listener of HTTP/2 does.
    response.on("error", ignore);
  }

  takeChat(surface: Surface): void {
    if (this.#request.method !== "POST") this.#checkMethod("POST");
    checkContentType(this.#request);
    const { headers: given, httpVersionMajor, socket } = this.#request;
    const headers = pickCallerHeaders(given, httpVersionMajor === 1 ? socket : undefined);
    const greeting = this.#options.greet(headers);
    if (greeting instanceof WeirError) {
      this.refuse(greeting, { counted: true });
      return;
    }
    readBody(this.#request, this.#options.body, (error, body) => {
      if (body === undefined) return this.refuse(error);
      try {
        this.#startChat(surface, body, headers, greeting);
      } catch (cause) {
        body.release();
        this.refuse(cause);
      }
    });
  }

  takeModels(): void {
    this.#checkMethod("GET", "HEAD");
    this.#answer(findModelForm(this.#request.headers).composeList(this.#listModels()));
  }

  takeModel(encodedId: string): void {
    this.#checkMethod("GET", "HEAD");
    let id: string;
    try {
      id = decodeURIComponent(encodedId);
    } catch {
      throw new WeirError("ARGUMENT_INVALID", "Cannot show model: its id in the path is not well encoded");
    }
    const model = this.#listModels().find((other) => other.id === id);
    if (model === undefined) {
      throw new WeirError(
        "MODEL_UNKNOWN",
        "Cannot show model: the policy does not have it for this key in this region",
      );
    }
    this.#answer(findModelForm(this.#request.headers).composeModel(model));
  }

  takeUnknown(path: string): void {
    if (NOT_SERVED.test(path))
      throw new WeirError("NOT_SERVED", "Cannot serve request: Weir does not serve this endpoint");
    throw new WeirError("NOT_FOUND", "Cannot serve request: there is no such path");
  }

  /** Answers with an error. What is no error of ours is logged and hidden. */
  refuse(error: unknown, { counted = false }: { readonly counted?: boolean } = {}): void {
    const { log, onRefusal } = this.#options;
    const known =
      error instanceof WeirError
        ? error
        : new WeirError("INTERNAL", "Cannot serve request: internal error", { cause: error });
    if (known.reason === "INTERNAL") log.error({ err: known, event_id: this.#head.eventId }, "Request failed");
    if (!counted && !(error instanceof CountedError)) onRefusal(known.reason);
    if (known.reason === "CALLER_GONE" || this.#response.headersSent) return;
    sendError({
      request: this.#request,
      response: this.#response,
      format: this.#findFormat(),
      head: this.#head,
      failure: { error: known },
      deadlines: this.#options.body.deadlines,
      clock: this.#options.clock,
    });
  }

  #findFormat(): CallerFormat {
    const path = this.#path;
    if (this.#surface !== undefined) return this.#surface.format;
    if (path === MODELS || path.startsWith(`${MODELS}/`)) return findModelForm(this.#request.headers).format;
    return findErrorFormat(path);
  }

  #startChat(surface: Surface, { bytes, release }: ReadBody, headers: CallerHeaders, greeting: Greeting): void {
    const receivedMonotonicMs = this.#options.clock.monotonicMs();
    const { name, operation } = surface;
    const scanned = surface.scan(bytes);
    const { request, model, maxOutputTokens, candidates, endUser, format = surface.format } = scanned;
    const { streamed, wantsUsage } = request;
    const call: ChatCall = {
      eventId: this.#head.eventId,
      arrivedAtMs: this.#arrivedAtMs,
      arrivedMonotonicMs: this.#arrivedMonotonicMs,
      receivedMonotonicMs,
      surface: name,
      operation,
      headers,
      greeting,
      model,
      streamed,
      request,
      requestBytes: bytes.length,
      maxOutputTokens,
      candidates,
      endUser,
      relayedHeaders: pickRelayedHeaders(this.#request.headers, format.requestHeaders),
      timeouts: readAskedTimeouts(this.#request.headers),
      fallback: readAskedFallback(this.#request.headers),
    };
    const sink = new HttpSink({
      request: this.#request,
      response: this.#response,
      format,
      asked: { streamed, model, wantsUsage, createdAtS: Math.floor(this.#arrivedAtMs / 1000) },
      onOver: release,
      deadlines: this.#options.body.deadlines,
      clock: this.#options.clock,
    });
    this.#options.startChat(call, sink);
  }

  #listModels(): Model[] {
    try {
      return this.#options.listModels(pickCallerHeaders(this.#request.headers));
    } catch (error) {
      if (error instanceof WeirError) throw new CountedError(error);
      throw error;
    }
  }

  #checkMethod(...allowed: readonly string[]): void {
    if (allowed.includes(this.#request.method ?? "")) return;
    this.#response.setHeader("allow", allowed.join(", "));
    throw new WeirError("METHOD_NOT_ALLOWED", `Cannot serve request: the method here must be ${allowed.join(" or ")}`);
  }

  #answer(value: unknown): void {
    const text = JSON.stringify(value);
    this.#response.writeHead(200, {
      ...toAnswerHeaders(this.#head, findClientRequestId(this.#request.headers)),
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    });
    this.#response.end(text);
  }
}

function ignore(): void {}

/** A refusal that was counted where it was made. */
class CountedError extends WeirError {
  constructor({ reason, message, facts, violations, retryAfterMs, cause }: WeirError) {
    super(reason, message, { facts, violations, cause, ...(retryAfterMs !== undefined && { retryAfterMs }) });
  }
}

function checkContentType({ headers }: IncomingMessage): void {
  const given = headers["content-type"];
  const encoding = headers["content-encoding"];
  // As nearly all clients write it.
  if (given === "application/json" && encoding === undefined) return;
  // The body is taken as UTF-8 and is checked to be; JSON has no other encoding (RFC 8259, section 8.1).
  if (given === undefined || !/^application\/json *(; *charset *= *"?utf-8"? *)?$/i.test(given)) {
    throw new WeirError("CONTENT_TYPE_UNSUPPORTED", "Cannot read request: its content type must be application/json");
  }
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new WeirError("CONTENT_TYPE_UNSUPPORTED", "Cannot read request: its body must not be compressed");
  }
}
