import { ChatService } from "../../gen/weir/router/v1/chat_service_pb.ts";
import { EmbeddingService } from "../../gen/weir/router/v1/embedding_service_pb.ts";
import type { Clock } from "../shared/clock.ts";
import type { Reason } from "../shared/errors/reason.ts";
import type { PlainHandler } from "../shared/mesh/operations.ts";
import { type MeshServer, type MeshServerOptions, startMeshServer } from "../shared/mesh/server.ts";
import { countRpcBody } from "./arrival/count-rpc-body.ts";
import { createHttpSurface, type HttpSurfaceOptions } from "./arrival/http-surface.ts";
import { MOST_CALL_VALUES } from "./arrival/most-call-values.ts";
import type { ReadBodyOptions } from "./arrival/read-body.ts";
import type { Chats } from "./chat.ts";
import { createChatService } from "./chat-service.ts";
import { createEmbeddingService } from "./embedding-service.ts";
import { createCallerJudge } from "./rpc/connect-arrival.ts";
import { createGrpcSurface } from "./rpc/grpc-surface.ts";

/** The services that a router has for callers. */
export const CALLER_SERVICES = [ChatService, EmbeddingService] as const;

/** Options of {@link openCallerPort}. */
export interface CallerPortOptions
  extends Pick<
    MeshServerOptions,
    "listen" | "reusePort" | "tls" | "reflection" | "health" | "limits" | "metrics" | "log"
  > {
  readonly chats: Chats;
  readonly body: ReadBodyOptions;
  /** How long a request may take to come over gRPC. */
  readonly requestTimeoutMs: number;
  /** Whether plain gRPC goes through the RPC library too, as the other protocols do. Default false. */
  readonly allByLibrary?: boolean;
  /** Answers whether this router lives and takes work. Default: no path does. */
  readonly operations?: PlainHandler;
  /** Hears of each request that is refused before it is a call, for a metric. */
  readonly onRefusal: (reason: Reason) => void;
  readonly clock: Clock;
}

/** Opens the port for callers: the formats over HTTP, the typed services, and health. */
export async function openCallerPort(options: CallerPortOptions): Promise<MeshServer> {
  const { chats, body, requestTimeoutMs, allByLibrary = false, operations, onRefusal, clock, ...server } = options;
  const taking: Pick<HttpSurfaceOptions, "startChat" | "greet" | "body" | "clock"> = {
    startChat: (call, sink) => chats.start(call, sink),
    greet: (headers) => chats.greet(headers),
    body,
    clock,
  };
  const surface = createHttpSurface({
    ...taking,
    listModels: (headers) => chats.listModels(headers),
    onRefusal,
    log: options.log,
  });
  const grpc = allByLibrary ? [] : createGrpcSurface({ ...taking, requestTimeoutMs });
  return await startMeshServer({
    ...server,
    clients: "anyone",
    routes: (router) =>
      router
        .service(ChatService, createChatService({ chats, clock }))
        .service(EmbeddingService, createEmbeddingService({ chats, clock })),
    services: CALLER_SERVICES,
    judgeCaller: createCallerJudge({ chats, clock }),
    hot: grpc,
    readMaxBytes: body.limitBytes,
    mostValues: MOST_CALL_VALUES,
    first: (request, response) => {
      if (surface.take(request, response)) return true;
      if (isRpc(request.url)) countRpcBody(request, response, body.memory);
      return false;
    },
    fallback: (request, response) => {
      const [path = ""] = (request.url ?? "").split("?", 1);
      // That it lives and takes work is said here too; how it fares is for operators.
      if (operations !== undefined && (path === "/healthz" || path === "/readyz")) operations(request, response);
      else surface.refuseUnknown(request, response);
    },
  });
}

/** Whether a path is one of an RPC that takes a body of any size. */
function isRpc(path = ""): boolean {
  return CALLER_SERVICES.some(({ typeName }) => path.startsWith(`/${typeName}/`));
}
