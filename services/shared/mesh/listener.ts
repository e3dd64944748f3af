import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import type { Address, Declarations, Settings } from "../settings.ts";
import { admitPeer, askToLeave } from "./admit-peer.ts";
import { answerBrokenRequest, findBrokenHead, refuseBroken } from "./broken-request.ts";
import type { PlainHandler } from "./operations.ts";
import { createPacer } from "./pacer.ts";
import { findTrustDomain, type Tls } from "./tls.ts";

/** Bounds of a listener. All have defaults that suit a service. */
export interface ListenerLimits {
  /** How long a peer may take to send a request's headers, or a TLS handshake, milliseconds. Default 10,000. */
  readonly headersTimeoutMs?: number;
  /** How long a peer may take to send a whole request, milliseconds. Default 60,000. */
  readonly requestTimeoutMs?: number;
  /** Largest headers of a request, bytes. Default 16 KiB. */
  readonly headerMaxBytes?: number;
  /** Largest number of connections at a time; more are closed at once. Default 10,000. */
  readonly maxConnections?: number;
}

/** Settings of the bounds that an operator may want to move. */
export const listenerSettings = {
  WEIR_HEADERS_TIMEOUT: {
    kind: "duration",
    default: "10s",
    min: 1,
    meaning: "How long a peer may take to send the headers of a request, or a TLS handshake.",
  },
  WEIR_REQUEST_TIMEOUT: {
    kind: "duration",
    default: "60s",
    min: 1,
    meaning: "How long a peer may take to send a whole request.",
  },
} as const satisfies Declarations;

/** The bounds that the settings name. */
export function toLimits(settings: Settings<typeof listenerSettings>): ListenerLimits {
  return { headersTimeoutMs: settings.WEIR_HEADERS_TIMEOUT, requestTimeoutMs: settings.WEIR_REQUEST_TIMEOUT };
}

/** Serves HTTP/1.1 and HTTP/2 on one port. */
export interface Listener {
  /** Where it listens; the port is the real one when 0 was asked. */
  readonly address: Address;
  /** Takes no more connections, tells peers to go (GOAWAY, `connection: close`), resolves when all have gone. */
  drain(): Promise<void>;
  /** Cuts all connections. Resolves when the port is free. */
  close(): Promise<void>;
}

/** The first bytes of the HTTP/2 preface (RFC 9113, section 3.4). No method of HTTP/1.1 begins so. */
const PREFACE = Buffer.from("PRI");

/**
 * What a connection of HTTP/2 may do before it is ended (https://nodejs.org/docs/latest-v24.x/api/http2.html#http2createserveroptions-onrequesthandler).
 * Node has defaults for all of them; these are written down so that a newer Node changes nothing unseen. Floods of pings, of settings, of
 * CONTINUATION and of frames that nobody knows are ended by nghttp2 below it, which has no settings for that (`listener.test.ts`).
 */
const FLOOD_LIMITS = {
  // Streams that the peer gives up: a thousand at once, and then as many a second as it may have open, where Node allows 33. A caller
  // whose own callers leave, such as a proxy's, gives up that many; an attack (CVE-2023-44487) a thousand times more.
  streamResetBurst: 1_000,
  streamResetRate: 100,
  maxSettings: 32,
  maxOutstandingPings: 10,
  // Both are counted over the whole life of a connection. Of streams beyond those that may be open Node allows 100, and a caller that gives
  // up streams and opens others in the same breath comes by that: of a stream that was given up Node lets go a turn later. To refuse one costs little.
  maxSessionInvalidFrames: 1_000,
  maxSessionRejectedStreams: 100_000,
} as const;

/**
 * Listens for HTTP/1.1 and HTTP/2 on one port. In plain text the first three bytes tell which it is, as Node has no
 * listener for both (https://github.com/nodejs/node/issues/44887); under TLS, ALPN does. Rejects when the port is taken.
 */
export async function listen(options: {
  readonly listen: Address;
  readonly tls: Tls | undefined;
  /**
   * Whether other processes of the same user may listen on the port too, so that the kernel deals out connections among them
   * (SO_REUSEPORT, Linux). Default false: a port that is taken is refused.
   */
  readonly reusePort?: boolean;
  /**
   * Whether peers are asked for a certificate of the mesh's authorities. One that does not verify ends the connection; a peer without one is
   * let in as nobody known, since operators bring tokens.
   */
  readonly mutual: boolean;
  readonly handler: PlainHandler;
  /** Tried first with each stream of HTTP/2, before anything of a request is made of it: true when it took the stream over. */
  readonly takeStream?: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => boolean;
  readonly limits: ListenerLimits | undefined;
}): Promise<Listener> {
  const {
    headersTimeoutMs = 10_000,
    requestTimeoutMs = 60_000,
    headerMaxBytes = 16 << 10,
    maxConnections = 10_000,
  } = options.limits ?? {};
  const sockets = new Set<net.Socket>();
  const sessions = new Set<http2.ServerHttp2Session>();
  let draining = false;
  const h1 = http.createServer(
    {
      maxHeaderSize: headerMaxBytes,
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs),
      keepAliveTimeout: 75_000,
      // Checked below, to answer in words.
      requireHostHeader: false,
    },
    (request, response) => {
      const broken = findBrokenHead(request);
      if (broken !== undefined) return refuseBroken(response, broken);
      if (draining) response.setHeader("connection", "close");
      options.handler(request, response);
    },
  );
  h1.on("clientError", answerBrokenRequest);
  h1.on("checkExpectation", (_request, response) => refuseBroken(response, "UNKNOWN_EXPECTATION"));
  // Node starts its watch over slow requests when a server listens. This one never does: it is fed.
  h1.emit("listening");

  const h2 = http2.createServer({
    settings: { maxConcurrentStreams: 100, maxHeaderListSize: headerMaxBytes },
    maxHeaderListPairs: 128,
    maxSessionMemory: 16,
    ...FLOOD_LIMITS,
  });
  // Makes requests of the streams that nobody takes. It never listens: it is fed.
  const h2Requests = http2.createServer((request, response) => {
    watchSlowBody(request, response, requestTimeoutMs);
    options.handler(request as unknown as http.IncomingMessage, response as unknown as http.ServerResponse);
  });
  h2.on("stream", (stream, headers, ...rest) => {
    if (options.takeStream?.(stream, headers) !== true) h2Requests.emit("stream", stream, headers, ...rest);
  });
  h2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    if (draining) session.close();
    if (options.mutual) askToLeave(session);
  });
  // An error of one session or stream is its peer's affair; without a listener it would end the process.
  h2.on("sessionError", () => undefined);

  const trustDomain = options.tls && findTrustDomain(options.tls.certificate);
  let accepted = 0;
  const feedSoon = createPacer(FED_EACH_TURN, ({ socket, isHttp2 }: Arrived) => {
    if (!socket.destroyed) (isHttp2 ? h2 : h1).emit("connection", socket);
  });
  const feed = (socket: Duplex, isHttp2: boolean) => feedSoon({ socket, isHttp2 });
  const accept = (socket: net.Socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // Finds peers whose machine is gone.
    socket.setKeepAlive(true, 60_000);
    socket.on("error", () => socket.destroy());
  };

  const server =
    options.tls === undefined
      ? net.createServer({ noDelay: true }, (socket) => {
          accept(socket);
          sniff(socket, headersTimeoutMs, (isHttp2) => feed(socket, isHttp2));
        })
      : tls.createServer(
          {
            cert: options.tls.certificate,
            key: options.tls.key,
            ...(options.tls.authorities !== undefined && options.mutual && { ca: options.tls.authorities }),
            requestCert: options.mutual,
            // Judged below: this would turn away peers without a certificate too.
            rejectUnauthorized: false,
            minVersion: "TLSv1.2",
            ALPNProtocols: ["h2", "http/1.1"],
            handshakeTimeout: headersTimeoutMs,
            noDelay: true,
          },
          (socket) => {
            accept(socket);
            if (options.mutual && !admitPeer(socket, trustDomain)) return;
            feed(socket, socket.alpnProtocol === "h2");
          },
        );
  if (server instanceof tls.Server) {
    options.tls?.onRenewal?.(({ certificate, key, authorities }) => {
      // For handshakes to come. The authorities go along where peers are asked for certificates.
      server.setSecureContext({
        cert: certificate,
        key,
        ...(authorities && options.mutual && { ca: authorities }),
        minVersion: "TLSv1.2",
      });
    });
  }
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const { listen, reusePort = false } = options;
    server.listen({ host: listen.host, port: listen.port, reusePort }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  // After it listens, an error (no file descriptors left) concerns one connection, and the next may fare better.
  server.on("error", () => undefined);
  const { address: host, port } = server.address() as net.AddressInfo;
  const closed = new Promise<void>((resolve) => server.once("close", resolve));

  return {
    address: { host, port },
    async drain() {
      draining = true;
      h1.closeIdleConnections();
      // Those whose answer is over later: looked for now and then, so that no request has to be watched for it.
      const idle = setInterval(() => h1.closeIdleConnections(), IDLE_LOOK_MS);
      // To Node a connection that has sent nothing yet is not idle: clients that keep one in reserve would hold up the drain.
      const silence = setTimeout(() => {
        for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
      }, FIRST_BYTES_MS);
      void closed.then(() => {
        clearInterval(idle);
        clearTimeout(silence);
      });
      // GOAWAY: no new streams, those that run may finish (RFC 9113, section 6.8).
      for (const session of sessions) session.close();
      await whenNoneWaits(() => accepted);
      server.close();
      return closed;
    },
    close() {
      draining = true;
      server.close();
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      // Ends the watch over slow requests.
      h1.close();
      return closed;
    },
  };
}

/** A connection whose first bytes are here, and so its protocol is known. */
interface Arrived {
  readonly socket: Duplex;
  readonly isHttp2: boolean;
}

/**
 * So many connections begin in a turn of the event loop, with the requests that have come with them. A herd of hundreds would hold up
 * everybody else for as long as it takes to begin all, which is a quarter of a millisecond for each.
 */
const FED_EACH_TURN = 4;

/** How often a drain looks for HTTP/1.1 connections that have become idle. */
const IDLE_LOOK_MS = 20;

/** How long after a drain has begun the first bytes of a connection may come: those of one that was just made are still on their way. */
const FIRST_BYTES_MS = 500;

/** As many connections as can wait to be accepted when a drain begins: Node's default for the backlog, and one. */
const BACKLOG = 512;

/**
 * Resolves when no connection waits to be accepted, or when as many were as could wait. The kernel resets those that wait when a
 * listener closes (unless net.ipv4.tcp_migrate_req lets another one on the port have them), and Node accepts one a turn of the
 * loop: under load dozens wait.
 */
function whenNoneWaits(countAccepted: () => number): Promise<void> {
  return new Promise((resolve) => {
    let before = -1;
    let turns = 0;
    // Between two immediates lies one look at the sockets.
    const look = () => {
      const now = countAccepted();
      if (now === before || turns === BACKLOG) return resolve();
      before = now;
      turns += 1;
      setImmediate(look);
    };
    setImmediate(look);
  });
}

/** Tells whether a plain-text connection begins as HTTP/2, and hands it on as if nothing had been read. */
function sniff(socket: net.Socket, timeoutMs: number, decided: (isHttp2: boolean) => void): void {
  let seen = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  socket.once("close", () => clearTimeout(timer));
  const onReadable = () => {
    const bytes: Buffer | null = socket.read();
    if (bytes === null) return;
    seen = Buffer.concat([seen, bytes]);
    const compared = Math.min(seen.length, PREFACE.length);
    const matches = seen.subarray(0, compared).equals(PREFACE.subarray(0, compared));
    if (matches && compared < PREFACE.length) return;
    socket.off("readable", onReadable);
    clearTimeout(timer);
    socket.unshift(seen);
    decided(matches);
  };
  socket.on("readable", onReadable);
}

/** HTTP/1.1 has a limit for the time of a whole request; HTTP/2 in Node has none. */
function watchSlowBody(
  request: http2.Http2ServerRequest,
  response: http2.Http2ServerResponse,
  timeoutMs: number,
): void {
  const timer = setTimeout(() => {
    if (!response.headersSent) refuseBroken(response as unknown as http.ServerResponse, "ERR_HTTP_REQUEST_TIMEOUT");
    request.stream.close(http2.constants.NGHTTP2_CANCEL);
  }, timeoutMs).unref();
  const stop = () => clearTimeout(timer);
  request.once("end", stop);
  request.stream.once("close", stop);
  request.on("error", () => undefined);
}
