import type { IncomingMessage, ServerResponse } from "node:http";
import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Health as HealthProto } from "../../../gen/grpc/health/v1/health_pb.ts";
import type { Authority } from "../authority/authority.ts";
import { type Clock, pause, systemClock } from "../clock.ts";
import type { Address } from "../settings.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { MOST_VALUES } from "../validation/few-values.ts";
import { createCallGate, createGateInterceptor } from "./call-gate.ts";
import { createConnectHandler, type JudgeCaller } from "./connect-handler.ts";
import type { Health } from "./health.ts";
import { createHealthService } from "./health-service.ts";
import { createHotRpcs, type HotMethod } from "./hot-rpc.ts";
import { createDrainInterceptor, createErrorInterceptor } from "./interceptors.ts";
import { type ListenerLimits, listen } from "./listener.ts";
import { answerJson, type PlainHandler } from "./operations.ts";
import { findPeer } from "./peer.ts";
import { checkPermissions } from "./permission.ts";
import { routeReflection } from "./reflection-service.ts";
import { createSettleCall } from "./settle-call.ts";
import { checkListen, isLoopback, type Tls } from "./tls.ts";
import { createValidation } from "./validate.ts";

/** What a server of the mesh serves, and to whom. */
export interface MeshServerOptions {
  readonly listen: Address;
  /** Whether other processes of the same user may listen there too; see `listen`. Default false. */
  readonly reusePort?: boolean;
  /** Without it the server speaks plain text, and refuses to listen beyond loopback. */
  readonly tls?: Tls | undefined;
  /**
   * Whom the server is for: the mesh's services, who show certificates under TLS, and operators, who bring tokens (the default), or
   * anyone (a router's callers, who bring a key instead).
   */
  readonly clients?: "certified" | "anyone";
  /** Registers the services with their implementations. */
  readonly routes: (router: ConnectRouter) => void;
  /** The same services, for health and reflection. */
  readonly services: readonly DescService[];
  /**
   * Says who asks, for RPCs that operators and services call. Without one only what is public and what a caller's key opens is served:
   * every other RPC is refused to everybody.
   */
  readonly authority?: Pick<Authority, "identify">;
  /** Asked before the body of an RPC for callers is read. Without it only the RPC itself says what is wrong with a key. */
  readonly judgeCaller?: JudgeCaller;
  /** Whether server reflection (v1 and v1alpha) is served. */
  readonly reflection: boolean;
  readonly health: Health;
  /** Answers a path that is no RPC. Default: 404. */
  readonly fallback?: PlainHandler;
  /** Tried before everything else, with the raw request: true when it took the request over. */
  readonly first?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Methods of `services` that are served off their streams when they come as plain gRPC; see {@link HotMethod}. */
  readonly hot?: readonly HotMethod[];
  /** Largest message, after decompression, bytes. Default 4 MiB. */
  readonly readMaxBytes?: number;
  /** Most values of a message. Default 300,000. */
  readonly mostValues?: number;
  readonly limits?: ListenerLimits;
  readonly metrics?: Pick<Metrics, "rpc_server_call_duration_seconds">;
  readonly log: Log;
  readonly clock?: Clock;
}

/** A server that listens. */
export interface MeshServer {
  /** Where it listens; the port is the real one when 0 was asked. */
  readonly address: Address;
  /**
   * Says not ready, takes no more connections, ends watches, lets calls in flight finish for at most `deadlineMs`
   * milliseconds, then cuts what is left. Resolves when the port is free.
   */
  drain(deadlineMs: number): Promise<void>;
  /** Cuts everything at once. Resolves when the port is free. */
  close(): Promise<void>;
}

/** How long calls that were told to end may take to say so to their callers, milliseconds. */
const FAREWELL_MS = 250;

/**
 * Starts a server of the mesh: gRPC, gRPC-Web and Connect over HTTP/1.1 and HTTP/2 on one port, with health, reflection,
 * validation and errors the same for every service. Rejects with SETTING_INVALID where it would speak plain text beyond
 * loopback, and with the system's error when it cannot listen.
 */
export async function startMeshServer(options: MeshServerOptions): Promise<MeshServer> {
  const { health, log, clients = "certified", clock = systemClock } = options;
  checkListen(options.listen, options.tls, clients);
  checkPermissions(options.services);
  const shutdown = new AbortController();
  const settle = createSettleCall(log, options.metrics);
  const gate = createCallGate({
    authority: options.authority,
    isLocal: options.tls === undefined && isLoopback(options.listen.host),
    settle,
  });
  const isMutual = clients === "certified" && options.tls?.authorities !== undefined;
  const connect = createConnectHandler({
    routes(router) {
      router.service(HealthProto, createHealthService(health, options.services));
      if (options.reflection) routeReflection(router, [...options.services, HealthProto]);
      options.routes(router);
    },
    interceptors: [
      createErrorInterceptor(log, options.metrics),
      createDrainInterceptor(health),
      createGateInterceptor(),
      createValidation(),
    ],
    gate,
    judgeCaller: options.judgeCaller,
    bounds: { mostBytes: options.readMaxBytes ?? 4 << 20, mostValues: options.mostValues ?? MOST_VALUES },
    shutdownSignal: shutdown.signal,
    fallback: isMutual ? forKnownPeers(options.fallback ?? answerNotFound) : (options.fallback ?? answerNotFound),
    log,
  });
  const hot = createHotRpcs({
    methods: options.hot ?? [],
    gate,
    settle,
    draining: health.draining,
    shutdown: shutdown.signal,
  });
  const { first } = options;
  const listener = await listen({
    listen: options.listen,
    reusePort: options.reusePort ?? false,
    tls: options.tls,
    mutual: isMutual,
    handler(request, response) {
      try {
        if (!first?.(request, response)) connect(request, response);
      } catch (error) {
        // Thrown into the event loop it would end the process, and with it the calls of everybody else.
        log.error({ err: error }, "Request failed");
        if (response.headersSent) response.destroy();
        else answerJson(response, 500, { code: "internal", message: "Cannot serve request: internal error" });
      }
    },
    takeStream: hot.take,
    limits: options.limits,
  });

  return {
    address: listener.address,
    async drain(deadlineMs) {
      health.drain();
      const patience = new AbortController();
      const drained = listener.drain().finally(() => patience.abort());
      await pause(clock, deadlineMs, patience.signal);
      if (!patience.signal.aborted) {
        shutdown.abort(new ConnectError("the instance is draining", Code.Unavailable));
        await pause(clock, FAREWELL_MS, patience.signal);
      }
      await listener.close();
      await drained;
    },
    async close() {
      health.drain();
      shutdown.abort(new ConnectError("the instance is closing", Code.Unavailable));
      await listener.close();
    },
  };
}

/** Under mutual TLS what is no RPC is for peers with a certificate: it asks for no token. But whoever probes may hear whether it is well. */
function forKnownPeers(handler: PlainHandler): PlainHandler {
  return (request, response) => {
    const [path] = (request.url ?? "").split("?", 1);
    if (findPeer(request) !== undefined || path === "/healthz" || path === "/readyz") return handler(request, response);
    answerJson(response, 401, {
      code: "unauthenticated",
      message: "Cannot serve request: it needs a certificate of the mesh",
    });
  };
}

function answerNotFound(_request: IncomingMessage, response: ServerResponse): void {
  answerJson(response, 404, { code: "not_found", message: "Cannot serve request: no such path" });
}
