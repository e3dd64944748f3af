import { WeirError } from "../errors/weir-error.ts";
import type { Bus } from "./bus.ts";
import { isStreamMissing, toBusError } from "./bus-error.ts";
import type { LastMessageOptions } from "./last-message.ts";

/**
 * The subjects of which a stream has a message now; none when there is no stream. `subject` may have wildcards. Asks the server that keeps the
 * stream, and moves no message. Throws UNAVAILABLE when it does not answer; fails at once while the connection is down.
 */
export async function listKeptSubjects(bus: Bus, options: LastMessageOptions): Promise<ReadonlySet<string>> {
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
    const { state } = await manager.streams.info(stream, { subjects_filter: subject });
    return new Set(Object.keys(state.subjects ?? {}));
  } catch (error) {
    if (isStreamMissing(error)) return new Set();
    throw toBusError(`list what is kept on "${subject}"`, error);
  }
}
