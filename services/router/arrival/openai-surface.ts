import type { IncomingMessage, ServerResponse } from "node:http";
import type { Model } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { createEventId } from "../../shared/ids.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { CallerHeaders } from "../admission/credentials.ts";
import type { AnswerHead, ChatCall, Greeting, StartChat } from "./call.ts";
import { findClientRequestId, pickCallerHeaders, pickRelayedHeaders, toAnswerHeaders } from "./http-headers.ts";
import { sendOpenAiError } from "./openai-error-answer.ts";
import { OpenAiSink } from "./openai-sink.ts";
import { type ReadBody, type ReadBodyOptions, readBody } from "./read-body.ts";
import { scanRequest } from "./scan.ts";

/** What the surface hands on to, and how it reads. */
export interface OpenAiSurfaceOptions {
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

const CHAT = "/v1/chat/completions";
const MODELS = "/v1/models";
/** Endpoints of OpenAI that Weir knows of and does not serve. Anything else below /v1 is not found. */
const NOT_SERVED =
  /^\/v1\/(assistants|audio|batches|chat\/completions\/.+|completions|containers|conversations|embeddings|evals|files|fine_tuning|images|messages|moderations|organization|realtime|responses|threads|uploads|vector_stores|videos)(\/.*)?$/;

/** The OpenAI paths of a port. */
export interface OpenAiSurface {
  /** Takes every request below /v1, so that clients of OpenAI get all refusals in their own dialect. Returns whether it did. */
  take(request: IncomingMessage, response: ServerResponse): boolean;
  /** Refuses a path that nobody serves. */
  refuseUnknown(request: IncomingMessage, response: ServerResponse): void;
}

/** Serves the OpenAI paths: chat completions, and the list of models. */
export function createOpenAiSurface(options: OpenAiSurfaceOptions): OpenAiSurface {
  const handle = (request: IncomingMessage, response: ServerResponse, path: string) => {
    const arrival = new Arrival(options, request, response);
    try {
      if (path === CHAT) arrival.takeChat();
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

/** One request on its way in. */
class Arrival {
  readonly #options: OpenAiSurfaceOptions;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #arrivedAtMs: number;
  readonly #arrivedMonotonicMs: number;
  readonly #head: AnswerHead;

  constructor(options: OpenAiSurfaceOptions, request: IncomingMessage, response: ServerResponse) {
    this.#options = options;
    this.#request = request;
    this.#response = response;
    this.#arrivedAtMs = options.clock.nowMs();
    this.#arrivedMonotonicMs = options.clock.monotonicMs();
    this.#head = { eventId: createEventId(this.#arrivedAtMs) };
    // Without a listener an error of one answer would end the process. Requests have none to tell: node:http gives their errors
    // only to those who listen, and the listener of HTTP/2 does.
    response.on("error", ignore);
  }

  takeChat(): void {
    if (this.#request.method !== "POST") this.#checkMethod("POST");
    checkContentType(this.#request);
    const headers = pickCallerHeaders(this.#request.headers);
    const greeting = this.#options.greet(headers);
    if (greeting instanceof WeirError) {
      this.refuse(greeting, { counted: true });
      return;
    }
    readBody(this.#request, this.#options.body, (error, body) => {
      if (body === undefined) return this.refuse(error);
      try {
        this.#startChat(body, headers, greeting);
      } catch (cause) {
        body.release();
        this.refuse(cause);
      }
    });
  }

  takeModels(): void {
    this.#checkMethod("GET", "HEAD");
    const data = this.#listModels().map(toListedModel);
    this.#answer({ object: "list", data });
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
    this.#answer(toListedModel(model));
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
    sendOpenAiError({
      request: this.#request,
      response: this.#response,
      head: this.#head,
      failure: { error: known },
      deadlines: this.#options.body.deadlines,
      clock: this.#options.clock,
    });
  }

  #startChat({ bytes, release }: ReadBody, headers: CallerHeaders, greeting: Greeting): void {
    const { request, model, maxOutputTokens, candidates, endUser } = scanRequest(bytes);
    const call: ChatCall = {
      eventId: this.#head.eventId,
      arrivedAtMs: this.#arrivedAtMs,
      arrivedMonotonicMs: this.#arrivedMonotonicMs,
      surface: "openai",
      headers,
      greeting,
      model,
      streamed: request.streamed,
      request,
      requestBytes: bytes.length,
      maxOutputTokens,
      candidates,
      endUser,
      relayedHeaders: pickRelayedHeaders(this.#request.headers),
    };
    const sink = new OpenAiSink({
      request: this.#request,
      response: this.#response,
      streamed: call.streamed,
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

/** A model as OpenAI lists it (https://platform.openai.com/docs/api-reference/models/object). Weir knows no date of making. */
function toListedModel({ id, displayName }: Model) {
  return {
    id,
    object: "model",
    created: 0,
    owned_by: "weir",
    ...(displayName !== "" && { display_name: displayName }),
  };
}
