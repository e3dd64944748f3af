import type { StreamAPI } from "nats";
import { WeirError } from "../errors/weir-error.ts";
import type { Bus } from "./bus.ts";
import type { StreamName } from "./streams.ts";

/** Which stream of which server is looked into, and for how long. */
export interface ReachStreamsOptions {
  readonly stream: StreamName;
  /** JetStream domain of the server that keeps the stream. Default: the server we are connected to. */
  readonly domain?: string | undefined;
  /** How long to wait for an answer. Default 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * The streams of a server, to look into one of them without a consumer; undefined when that one has no message. A server that makes the stream
 * at this moment says so too: asked for a message or for subjects then, nats-server 2.9.10 would end (a nil pointer in its code). Throws UNAVAILABLE
 * at once while the connection is down.
 */
export async function reachStreams(bus: Bus, options: ReachStreamsOptions): Promise<StreamAPI | undefined> {
  const { stream, domain, timeoutMs = 5_000, signal } = options;
  signal?.throwIfAborted();
  if (!bus.connected) throw new WeirError("UNAVAILABLE", "Cannot read: NATS is not connected");
  const connection = await bus.ready(signal);
  const { streams } = await connection.jetstreamManager({
    checkAPI: false,
    timeout: timeoutMs,
    ...(domain === undefined ? {} : { domain }),
  });
  const { state } = await streams.info(stream);
  return state.messages === 0 ? undefined : streams;
}
