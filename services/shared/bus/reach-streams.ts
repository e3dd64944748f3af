import type { StreamAPI } from "nats";
import { WeirError } from "../errors/weir-error.ts";
import type { Bus } from "./bus.ts";

/** Which server is asked, and for how long. */
export interface ReachStreamsOptions {
  /** JetStream domain of the server that keeps the stream. Default: the server we are connected to. */
  readonly domain?: string | undefined;
  /** How long to wait for an answer. Default 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The streams of a server, to look into without a consumer. Throws UNAVAILABLE at once while the connection is down. */
export async function reachStreams(bus: Bus, options: ReachStreamsOptions): Promise<StreamAPI> {
  const { domain, timeoutMs = 5_000, signal } = options;
  signal?.throwIfAborted();
  if (!bus.connected) throw new WeirError("UNAVAILABLE", "Cannot read: NATS is not connected");
  const connection = await bus.ready(signal);
  const { streams } = await connection.jetstreamManager({
    checkAPI: false,
    timeout: timeoutMs,
    ...(domain === undefined ? {} : { domain }),
  });
  return streams;
}
