import type { Bus } from "./bus.ts";
import { isMessageMissing, isStreamMissing, toBusError } from "./bus-error.ts";
import { type ReachStreamsOptions, reachStreams } from "./reach-streams.ts";

/** Which message. */
export interface LastMessageOptions extends ReachStreamsOptions {
  readonly subject: string;
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
  const { stream, subject } = options;
  try {
    const streams = await reachStreams(bus, options);
    if (streams === undefined) return undefined;
    const { data, seq } = await streams.getMessage(stream, { last_by_subj: subject });
    return { payload: data, sequence: seq };
  } catch (error) {
    if (isMessageMissing(error) || isStreamMissing(error)) return undefined;
    throw toBusError(`read the last message on "${subject}"`, error);
  }
}
