import { WeirError } from "../errors/weir-error.ts";
import type { Bus } from "./bus.ts";
import { isMessageMissing, isStreamMissing, toBusError } from "./bus-error.ts";
import type { StreamName } from "./streams.ts";

/** Which message. */
export interface LastMessageOptions {
  readonly stream: StreamName;
  readonly subject: string;
  /** JetStream domain of the server that keeps the stream. Default: the server we are connected to. */
  readonly domain?: string | undefined;
  /** How long to wait for the answer. Default 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A message as a stream keeps it. */
export interface KeptMessage {
  readonly payload: Uint8Array;
  /** Its place in the stream: another message on the same subject has a higher one. */
  readonly sequence: number;
}

/**
 * The last message on a subject; undefined when the stream has none, or there is no stream. Asks the server that keeps it, without a consumer:
 * nothing is remembered there of who has read what. Throws UNAVAILABLE when it does not answer; fails at once while the connection is down.
 */
export async function findLastMessage(bus: Bus, options: LastMessageOptions): Promise<KeptMessage | undefined> {
  const { stream, subject, domain, timeoutMs = 5_000, signal } = options;
  try {
    signal?.throwIfAborted();
    if (!bus.connected) throw new WeirError("UNAVAILABLE", "Cannot read: NATS is not connected");
    const connection = await bus.ready(signal);
    const manager = await connection.jetstreamManager({
      checkAPI: false,
      timeout: timeoutMs,
      ...(domain === undefined ? {} : { domain }),
    });
    const { data, seq } = await manager.streams.getMessage(stream, { last_by_subj: subject });
    return { payload: data, sequence: seq };
  } catch (error) {
    if (isMessageMissing(error) || isStreamMissing(error)) return undefined;
    throw toBusError(`read the last message on "${subject}"`, error);
  }
}
