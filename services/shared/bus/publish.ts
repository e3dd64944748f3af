import { WeirError } from "../errors/weir-error.ts";
import type { Bus } from "./bus.ts";
import { toBusError } from "./bus-error.ts";

/** A message for a stream. */
export interface PublishOptions {
  /** Subject that a stream of the table keeps. */
  readonly subject: string;
  readonly payload: Uint8Array;
  /** Globally unique and the same at each try: the server drops repeats within its window. */
  readonly messageId: string;
  /** Refused unless the last message on the subject has this place in its stream; 0: unless there is none. Default: not checked. */
  readonly expectedSubjectSequence?: number;
  /** How long to wait for the acknowledgement. Default 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Sends a message and waits until a stream has acknowledged it. That is *not* durability: the server flushes to disk later.
 * Throws UNAVAILABLE when there is no acknowledgement, and then the message may or may not have arrived: send it again
 * under the same id. Fails at once while the connection is down instead of buffering.
 */
export async function publish(bus: Bus, options: PublishOptions): Promise<void> {
  const { subject, payload, messageId, signal, expectedSubjectSequence } = options;
  try {
    signal?.throwIfAborted();
    if (!bus.connected) throw new WeirError("UNAVAILABLE", "Cannot publish: NATS is not connected");
    const connection = await bus.ready(signal);
    const stream = connection.jetstream();
    const ack = stream.publish(subject, payload, {
      msgID: messageId,
      timeout: options.timeoutMs ?? 5_000,
      ...(expectedSubjectSequence !== undefined && { expect: { lastSubjectSequence: expectedSubjectSequence } }),
    });
    await (signal === undefined ? ack : orAbort(ack, signal));
  } catch (error) {
    throw toBusError(`publish to "${subject}"`, error);
  }
}

async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void =>
    aborted.reject(new WeirError("UNAVAILABLE", "Cannot publish: given up", { cause: signal.reason }));
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  promise.catch(() => {});
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
