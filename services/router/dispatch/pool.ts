import type { Socket } from "node:net";
import { buildConnector, Client, type Dispatcher } from "undici";

/** How the connections of a pool are made and kept. */
export interface PoolOptions {
  /** Most connections at a time. */
  readonly connections: number;
  readonly connectTimeoutMs: number;
  /** After how long a connection that nobody uses is closed. */
  readonly keepAliveMs: number;
  /** Largest head of an answer, in bytes. */
  readonly headBytes: number;
}

/** What is to be sent, as undici takes it. */
export type SentRequest = Dispatcher.DispatchOptions;

/** One call through a pool: what undici's handlers are, and a word on the request's body at the end. */
export interface PooledCall extends Required<Pick<Dispatcher.DispatchHandler, HandlerMethod>> {
  /** The answer is whole. `isSent` says that of the request nothing is left in this process either. */
  onResponseEnd(controller: Dispatcher.DispatchController, trailers: Headers, isSent?: boolean): void;
  /** Whether nobody waits for it any longer, so that it need not be sent when a connection becomes free. */
  readonly isOver: boolean;
}

type HandlerMethod = "onRequestStart" | "onResponseStart" | "onResponseData" | "onResponseError";
type Headers = Record<string, string | string[] | undefined>;

interface WaitingCall {
  readonly request: SentRequest;
  readonly call: PooledCall;
}

/**
 * The kept-alive connections to one origin, each an undici `Client`, at most so many. A call takes the connection that became
 * free last, so that those not needed fall asleep; when none is free a new one is made; when there are too many it waits.
 *
 * undici's own Pool looks for a free connection one by one, which with 2,000 open streams takes longer than the rest of a call.
 * Here it is the end of a list.
 */
export class Pool {
  readonly #origin: URL;
  readonly #clientOptions: Client.Options;
  readonly #connect: buildConnector.connector;
  readonly #most: number;
  readonly #all = new Set<Connection>();
  readonly #free: Connection[] = [];
  readonly #listener: ConnectionListener = {
    onFree: (connection) => this.#reuse(connection),
    onBroken: (connection) => this.#replace(connection),
    onDisconnect: (connection) => this.#forget(connection),
  };
  /** Calls that wait for a connection, in the order in which they came. */
  readonly #waiting = new Set<WaitingCall>();
  #isClosing = false;

  constructor(origin: string, { connections, connectTimeoutMs, keepAliveMs, headBytes }: PoolOptions) {
    this.#origin = new URL(origin);
    this.#most = connections;
    // One for all, so that TLS sessions are resumed. In Node, HTTP/2 to a provider costs more than it saves (speed.md, 2.1).
    this.#connect = buildConnector({ timeout: connectTimeoutMs, allowH2: false });
    this.#clientOptions = {
      allowH2: false,
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      maxHeaderSize: headBytes,
      // Attempts have deadlines of their own.
      headersTimeout: 0,
      bodyTimeout: 0,
    };
  }

  /** Connections by state, and the calls for which there is none. */
  count(): { readonly busy: number; readonly free: number; readonly waiting: number } {
    return { busy: this.#all.size - this.#free.length, free: this.#free.length, waiting: this.#waiting.size };
  }

  /**
   * Sends a request. `onResponseEnd` or `onResponseError` of the call comes exactly once, perhaps before this returns. Returns whether
   * it has to wait, since there are as many connections as there may be and none is free.
   */
  dispatch(request: SentRequest, call: PooledCall): boolean {
    const connection = this.#free.pop() ?? this.#add();
    if (connection === undefined) this.#wait({ request, call });
    else connection.send(request, call);
    return connection === undefined;
  }

  /** Closes connections as soon as their calls, and those that wait, are over. */
  close(): void {
    this.#isClosing = true;
    for (const connection of this.#free.splice(0)) this.#drop(connection);
  }

  /** Cuts all connections. Calls end with an error; those that wait are never sent, and not told. */
  async destroy(): Promise<void> {
    this.#isClosing = true;
    this.#waiting.clear();
    this.#free.length = 0;
    const all = [...this.#all];
    this.#all.clear();
    await Promise.all(all.map((connection) => connection.client.destroy()));
  }

  #add(): Connection | undefined {
    if (this.#all.size >= this.#most) return undefined;
    const connection = new Connection(this.#origin, this.#clientOptions, this.#connect, this.#listener);
    this.#all.add(connection);
    return connection;
  }

  /** Its call is over, and it can take the next one. */
  #reuse(connection: Connection): void {
    const next = this.#shiftWaiting();
    if (next !== undefined) connection.send(next.request, next.call);
    else if (this.#isClosing) this.#drop(connection);
    else this.#free.push(connection);
  }

  /** Its call has failed, so it may be of no use. Another takes its place if it is needed. */
  #replace(connection: Connection): void {
    this.#drop(connection);
    const next = this.#shiftWaiting();
    if (next !== undefined) this.dispatch(next.request, next.call);
  }

  /** It was closed. One that is in use tells by the failure of its call, or connects anew. */
  #forget(connection: Connection): void {
    // The longest free, which stand first, are those that are closed.
    const index = this.#free.indexOf(connection);
    if (index < 0) return;
    this.#free.splice(index, 1);
    this.#drop(connection);
  }

  #drop(connection: Connection): void {
    this.#all.delete(connection);
    connection.client.close().catch(() => undefined);
  }

  #shiftWaiting(): WaitingCall | undefined {
    for (const next of this.#waiting) {
      this.#waiting.delete(next);
      if (!next.call.isOver) return next;
    }
    return undefined;
  }

  #wait(waiting: WaitingCall): void {
    // All wait for the same time at most, so those that gave up stand first. Without connections nobody else removes them.
    for (const earlier of this.#waiting) {
      if (!earlier.call.isOver) break;
      this.#waiting.delete(earlier);
    }
    this.#waiting.add(waiting);
  }
}

/** Hears of a connection. */
interface ConnectionListener {
  onFree(connection: Connection): void;
  onBroken(connection: Connection): void;
  onDisconnect(connection: Connection): void;
}

/** A connection, and the call that it serves: a handler for all its calls, one after the other, so that none is made for each. */
class Connection implements Dispatcher.DispatchHandler {
  readonly client: Client;
  readonly #listener: ConnectionListener;
  #socket: Socket | undefined;
  #call: PooledCall | undefined;

  constructor(origin: URL, options: Client.Options, connect: buildConnector.connector, listener: ConnectionListener) {
    this.#listener = listener;
    this.client = new Client(origin, {
      ...options,
      connect: (target, done) =>
        connect(target, (...[error, socket]) => {
          this.#socket = socket ?? undefined;
          if (error === null) done(null, socket as Socket);
          else done(error, null);
        }),
    });
    this.client.on("disconnect", () => {
      this.#socket = undefined;
      listener.onDisconnect(this);
    });
  }

  send(request: SentRequest, call: PooledCall): void {
    this.#call = call;
    this.client.dispatch(request, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#call?.onRequestStart(controller, context);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.#call?.onResponseStart(controller, status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#call?.onResponseData(controller, chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: Headers): void {
    const call = this.#call;
    const isSent = this.#socket?.writableLength === 0;
    this.#call = undefined;
    this.#listener.onFree(this);
    call?.onResponseEnd(controller, trailers, isSent);
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    const call = this.#call;
    this.#call = undefined;
    this.#listener.onBroken(this);
    call?.onResponseError(controller, error);
  }
}
