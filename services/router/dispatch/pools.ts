import type { Upstream } from "../routing/upstreams.ts";
import { Pool } from "./pool.ts";

/** How connections to providers are kept. */
export interface PoolsOptions {
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

/** What decides which pool an upstream has. */
type Reached = Pick<Upstream, "origin" | "connectTimeoutMs">;

/** Kept-alive HTTP/1.1 connections to providers, one bounded pool for each origin. The only door through which chats leave. */
export class Pools {
  readonly #options: PoolsOptions;
  readonly #pools = new Map<string, Pool>();
  /** The same by upstream, which is what each chat asks for. */
  readonly #byUpstream = new WeakMap<Reached, Pool>();

  constructor(options: PoolsOptions) {
    this.#options = options;
  }

  /** The pool for an upstream. */
  get(upstream: Reached): Pool {
    return this.#byUpstream.get(upstream) ?? this.#find(upstream);
  }

  /** Closes the pools that no upstream of `wanted` uses any longer, as soon as their calls have ended. */
  keepOnly(wanted: readonly Reached[]): void {
    const keys = new Set(wanted.map(toKey));
    for (const [key, pool] of this.#pools) {
      if (keys.has(key)) continue;
      this.#pools.delete(key);
      pool.close();
    }
  }

  /** Connections by state. */
  count(): { readonly busy: number; readonly free: number } {
    let busy = 0;
    let free = 0;
    for (const pool of this.#pools.values()) {
      const counted = pool.count();
      busy += counted.busy;
      free += counted.free;
    }
    return { busy, free };
  }

  /** Cuts all connections. */
  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  #find(upstream: Reached): Pool {
    const key = toKey(upstream);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      pool = new Pool(upstream.origin, {
        connections: this.#options.connections,
        connectTimeoutMs: upstream.connectTimeoutMs,
        keepAliveMs: KEEP_ALIVE_MS,
        headBytes: HEAD_BYTES,
      });
      this.#pools.set(key, pool);
    }
    this.#byUpstream.set(upstream, pool);
    return pool;
  }
}

function toKey({ origin, connectTimeoutMs }: Reached): string {
  return `${origin} ${connectTimeoutMs}`;
}
