import { connect, DebugEvents, Events, type NatsConnection } from "nats";
import { pause, systemClock } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Log } from "../telemetry/log.ts";
import { checkServer } from "./capability.ts";

/** Where the bus is and who we are. */
export interface BusOptions {
  /** `nats://host:port`, one or more servers of one cluster or leaf. A user and password may stand in the URL. */
  readonly urls: readonly string[];
  /** Wins over the one in the URL. */
  readonly user?: string;
  readonly password?: string;
  /** Name of this connection, for the server's own reports: "metering", "router eu-1". */
  readonly name: string;
  readonly log: Log;
}

/** A connection to NATS that keeps itself up. Made by {@link connectBus}. */
export interface Bus {
  /** Is the connection up now? For health and metrics; it may be down the next moment. */
  readonly connected: boolean;
  /** Resolves with the connection, waiting until it is up. Throws UNAVAILABLE when `signal` fires or the bus is closed. */
  ready(signal?: AbortSignal): Promise<NatsConnection>;
  /** Calls `listener` each time the connection is lost or restored, until `signal` fires. */
  onChange(listener: (connected: boolean) => void, signal: AbortSignal): void;
  readonly log: Log;
  /** Sends what is buffered, at most 2 s, and closes for ever. */
  close(): Promise<void>;
}

const CLOSE_TIMEOUT_MS = 2_000;
const REOPEN_PAUSE_MS = 1_000;

/**
 * Connects to NATS in the background and for ever: the server may be down now, restart, be frozen, or refuse us until
 * its settings are mended. Returns at once.
 */
export async function connectBus(options: BusOptions): Promise<Bus> {
  return new NatsBus(options);
}

class NatsBus implements Bus {
  readonly log: Log;
  readonly #options: BusOptions;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<(connected: boolean) => void>();
  #connection: NatsConnection | undefined;
  #connected = false;
  #reported = false;

  constructor(options: BusOptions) {
    this.#options = options;
    this.log = options.log;
    void this.#keepOpen();
  }

  get connected(): boolean {
    return this.#connected;
  }

  async ready(signal?: AbortSignal): Promise<NatsConnection> {
    while (!this.#connected || this.#connection === undefined) {
      const ending = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
      if (ending.aborted) throw new WeirError("UNAVAILABLE", "Cannot use the bus: NATS is not reachable");
      await new Promise<void>((resolve) => {
        const turn = new AbortController();
        turn.signal.addEventListener("abort", () => resolve(), { once: true });
        ending.addEventListener("abort", () => turn.abort(), { signal: turn.signal });
        this.onChange(() => turn.abort(), turn.signal);
      });
    }
    if (this.#closing.signal.aborted) throw new WeirError("UNAVAILABLE", "Cannot use the bus: it is closed");
    return this.#connection;
  }

  onChange(listener: (connected: boolean) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const connection = this.#connection;
    this.#setConnected(false);
    if (connection === undefined || connection.isClosed()) return;
    // Draining hangs while the server is away, so it has a deadline; close() itself never waits for the server.
    const drained = connection.drain().catch(() => {});
    const timer = Promise.withResolvers<void>();
    const timeout = setTimeout(timer.resolve, CLOSE_TIMEOUT_MS);
    await Promise.race([drained, timer.promise]);
    clearTimeout(timeout);
    await connection.close().catch(() => {});
  }

  async #keepOpen(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        const connection = await this.#open();
        if (signal.aborted) return await connection.close();
        try {
          checkServer(connection);
        } catch (error) {
          // It may be replaced by a newer one.
          await connection.close();
          throw error;
        }
        this.#connection = connection;
        this.#reported = false;
        this.#setConnected(true);
        await this.#follow(connection);
      } catch (error) {
        // Once an outage, not once a second.
        if (!signal.aborted && !this.#reported) this.log.warn({ error }, "Cannot connect to NATS; trying for ever");
        this.#reported = true;
      }
      this.#setConnected(false);
      if (!signal.aborted) await pause(systemClock, REOPEN_PAUSE_MS, signal);
    }
  }

  #open(): Promise<NatsConnection> {
    const { urls, name } = this.#options;
    const servers = urls.map((url) => new URL(url));
    const user = this.#options.user ?? decodeURIComponent(servers[0]?.username ?? "");
    const pass = this.#options.password ?? decodeURIComponent(servers[0]?.password ?? "");
    return connect({
      servers: servers.map(({ host }) => host),
      ...(user === "" ? {} : { user, pass }),
      name,
      timeout: 2_000,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      reconnectJitter: 250,
      // A server whose users were changed must not end this process or silence it: keep trying, keep saying so.
      ignoreAuthErrorAbort: true,
      // A frozen server is noticed after two of these.
      pingInterval: 5_000,
      maxPingOut: 2,
      ignoreClusterUpdates: true,
    });
  }

  // Follows one connection until it is closed for good, which the client library does by itself only in odd cases.
  async #follow(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      switch (status.type) {
        case Events.Disconnect:
          this.#setConnected(false);
          this.log.warn({}, "Lost the connection to NATS; reconnecting");
          break;
        case Events.Reconnect:
          this.#setConnected(true);
          this.log.info({}, "Connected to NATS again");
          break;
        case Events.Error:
          this.log.warn({ reason: String(status.data) }, "NATS reports an error");
          break;
        case DebugEvents.StaleConnection:
          this.log.warn({}, "NATS does not answer; reconnecting");
          break;
        default:
          break;
      }
    }
  }

  #setConnected(connected: boolean): void {
    this.#connected = connected;
    for (const listener of [...this.#listeners]) listener(connected);
  }
}
