import { type Dispatcher, Pool } from "undici";
import type { Upstream } from "../routing/upstreams.ts";

/** How connections to providers are kept. */
export interface PoolOptions {
  /**
   * Most connections to one provider. A stream holds its connection to its end, so this is the most chats at once; a
   * chat beyond it waits as long as it may take to connect, then another target is tried.
   */
  readonly connections: number;
}

/**
 * Connections that nobody uses are closed after this long: before the other side does, whose close would otherwise cross a
 * request on its way. Uvicorn and node:http wait 5 s, providers' load balancers a minute.
 */
const KEEP_ALIVE_MS = 4_000;
/** Largest head of an answer. */
const HEAD_BYTES = 32 * 1024;

/** Kept-alive HTTP/1.1 connections to providers, one bounded pool for each origin. The only door through which chats leave. */
export class Pools {
  readonly #options: PoolOptions;
  readonly #pools = new Map<string, Pool>();

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** The pool for an upstream. */
  get({ origin, connectTimeoutMs }: Pick<Upstream, "origin" | "connectTimeoutMs">): Dispatcher {
    const key = `${origin} ${connectTimeoutMs}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      pool = new Pool(origin, {
        connections: this.#options.connections,
        pipelining: 1,
        // In Node, HTTP/2 to a provider costs more than it saves (speed.md, 2.1).
        allowH2: false,
        connect: { timeout: connectTimeoutMs },
        keepAliveTimeout: KEEP_ALIVE_MS,
        keepAliveMaxTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: HEAD_BYTES,
        // Attempts have deadlines of their own.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      this.#pools.set(key, pool);
    }
    return pool;
  }

  /** Closes the pools that no upstream of `wanted` uses any longer, as soon as their calls have ended. */
  keepOnly(wanted: readonly Pick<Upstream, "origin" | "connectTimeoutMs">[]): void {
    const keys = new Set(wanted.map(({ origin, connectTimeoutMs }) => `${origin} ${connectTimeoutMs}`));
    for (const [key, pool] of this.#pools) {
      if (keys.has(key)) continue;
      this.#pools.delete(key);
      pool.close().catch(() => undefined);
    }
  }

  /** Connections by state. */
  count(): { readonly busy: number; readonly free: number } {
    let busy = 0;
    let free = 0;
    for (const { stats } of this.#pools.values()) {
      busy += stats.running;
      free += stats.free;
    }
    return { busy, free };
  }

  /** Cuts all connections. */
  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }
}
