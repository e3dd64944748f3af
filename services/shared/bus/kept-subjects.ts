import type { Bus } from "./bus.ts";
import { isStreamMissing, toBusError } from "./bus-error.ts";
import type { LastMessageOptions } from "./last-message.ts";
import { reachStreams } from "./reach-streams.ts";

/**
 * The subjects of which a stream has a message now; none when there is no stream. `subject` may have wildcards. Asks the server that keeps the
 * stream, and moves no message. Throws UNAVAILABLE when it does not answer; fails at once while the connection is down.
 */
export async function listKeptSubjects(bus: Bus, options: LastMessageOptions): Promise<ReadonlySet<string>> {
  const { stream, subject } = options;
  try {
    const streams = await reachStreams(bus, options);
    if (streams === undefined) return new Set();
    const { state } = await streams.info(stream, { subjects_filter: subject });
    return new Set(Object.keys(state.subjects ?? {}));
  } catch (error) {
    if (isStreamMissing(error)) return new Set();
    throw toBusError(`list what is kept on "${subject}"`, error);
  }
}
