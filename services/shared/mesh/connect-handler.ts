import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createConnectRouter,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest } from "@connectrpc/connect/protocol";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { WeirError } from "../errors/weir-error.ts";
import type { Log } from "../telemetry/log.ts";
import { boundBody, type MessageBounds } from "./bound-body.ts";
import { type CallGate, type Decision, refuseUnread, toContextValues } from "./call-gate.ts";
import { completeErrors } from "./complete-errors.ts";
import { answerJson, type PlainHandler } from "./operations.ts";

/** Says by the head of a request what is wrong with the key of a caller; undefined when nothing is. It may add to the answer's head. */
export type JudgeCaller = (request: IncomingMessage, response: ServerResponse) => WeirError | undefined;

/** What the handler of all RPCs of a server needs. */
export interface ConnectHandlerOptions {
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
  /** Says whether a call may be made, before anything of its body is read. */
  readonly gate: CallGate;
  readonly judgeCaller: JudgeCaller | undefined;
  readonly bounds: MessageBounds;
  /** Aborts when calls in flight have to end now. */
  readonly shutdownSignal: AbortSignal;
  /** Answers a path that is no RPC. */
  readonly fallback: PlainHandler;
  readonly log: Log;
}

/**
 * Serves RPCs in all three protocols from node:http or node:http2. In place of `connectNodeAdapter`, which lets a
 * request with a malformed authority throw into the event loop, writes failures to standard error as text, and takes
 * bytes that are not UTF-8 in JSON for U+FFFD.
 */
export function createConnectHandler(options: ConnectHandlerOptions): PlainHandler {
  const router = createConnectRouter({
    acceptCompression: [compressionGzip],
    interceptors: options.interceptors,
    // The default passes over unknown fields and enum names: a misspelt limit would become no limit.
    jsonOptions: { ignoreUnknownFields: false },
    readMaxBytes: options.bounds.mostBytes,
    requestGate: (context) => {
      refuseUnread(context);
      refusePacked(context);
    },
    shutdownSignal: options.shutdownSignal,
  });
  options.routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return (request, response) => {
    const [path = ""] = (request.url ?? "").split("?", 1);
    const handler = handlers.get(path);
    if (handler === undefined) {
      return isGrpc(request) ? answerUnimplemented(request, response) : options.fallback(request, response);
    }
    let universal: UniversalServerRequest;
    try {
      universal = toUniversal(request, response);
    } catch {
      // The authority or path comes from outside and may be no URL at all.
      return answerJson(response, 400, {
        code: "invalid_argument",
        message: "Cannot serve request: its authority or path is malformed",
      });
    }
    const decided = options.gate(handler.method, request, () => options.judgeCaller?.(request, response));
    answer(handler, bound(handler, universal, options.bounds), decided)
      .then(completeErrors)
      .then((answered) => universalResponseToNodeResponse(answered, response))
      .catch((error: unknown) => {
        // The peer went away in the middle of the answer, or the handler of the protocol itself failed.
        options.log.debug({ err: error, path }, "RPC cut");
        response.destroy();
      });
  };
}

/** Bounds what the request may hold; of a stream of messages only the size of each is bounded. */
function bound(
  { method }: UniversalHandler,
  request: UniversalServerRequest,
  bounds: MessageBounds,
): UniversalServerRequest {
  const isOneMessage = method.methodKind === "unary" || method.methodKind === "server_streaming";
  return isOneMessage ? boundBody(method, request, bounds) : request;
}

async function answer(handler: UniversalHandler, request: UniversalServerRequest, asked: Decision | Promise<Decision>) {
  return await handler({ ...request, contextValues: toContextValues(asked instanceof Promise ? await asked : asked) });
}

/** Refuses a compressed message in the address of a request: there it is no body, whose values are counted before they are decoded. */
function refusePacked({ requestMethod, url }: HandlerContext): void {
  const compression = requestMethod === "GET" ? new URL(url).searchParams.get("compression") : null;
  if (compression === null || compression === "identity") return;
  throw new ConnectError("a message in the address must not be compressed", Code.Unimplemented);
}

function isGrpc(request: IncomingMessage): boolean {
  return request.headers["content-type"]?.startsWith("application/grpc") === true;
}

/** An RPC that is not served, as gRPC says it: in the headers of an answer without a body ("Trailers-Only"). */
function answerUnimplemented(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, {
    "content-type": String(request.headers["content-type"]),
    "grpc-status": String(Code.Unimplemented),
    "grpc-message": "Cannot serve request%3A no such method",
  });
  response.end();
}

function toUniversal(request: IncomingMessage, response: ServerResponse): UniversalServerRequest {
  const universal = universalRequestFromNodeRequest(
    request as IncomingMessage | Http2ServerRequest as never,
    response as ServerResponse | Http2ServerResponse as never,
    undefined,
    undefined,
  );
  const isPlainJson =
    request.headers["content-type"]?.startsWith("application/json") === true &&
    (request.headers["content-encoding"] ?? "identity") === "identity";
  if (!isPlainJson) return universal;
  return { ...universal, body: refuseBadUtf8(universal.body as AsyncIterable<Uint8Array>) };
}

async function* refuseBadUtf8(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const check = (chunk?: Uint8Array) => {
    try {
      decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (cause) {
      throw new ConnectError("the body is not valid UTF-8", Code.InvalidArgument, undefined, undefined, cause);
    }
  };
  for await (const chunk of body) {
    check(chunk);
    yield chunk;
  }
  check();
}
