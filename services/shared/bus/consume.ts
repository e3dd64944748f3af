import { AckPolicy, DeliverPolicy, type NatsConnection, nanos, ReplayPolicy } from "nats";
import { pause, systemClock } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Bus } from "./bus.ts";
import { isConsumerMissing, isStreamMissing, toBusError } from "./bus-error.ts";
import { type PulledMessage, pull } from "./pull.ts";
import { ensureStream, type StreamName } from "./streams.ts";

/** A message as a handler sees it. */
export interface BusMessage {
  readonly subject: string;
  readonly payload: Uint8Array;
  /** The id it was published under; empty when a stranger published it without one. */
  readonly messageId: string;
  /** How often it has been delivered, this time included; from 1. Above 1 it may have been handled before. */
  readonly deliveries: number;
}

/** What to consume, and what to do with it. */
export interface ConsumeOptions {
  readonly stream: StreamName;
  /** Name of the consumer on the server; instances that share it share the messages. */
  readonly durable: string;
  /** JetStream domain of the server that keeps the stream. Default: the server we are connected to. */
  readonly domain?: string;
  /** Region of the stream: when given, the stream is made where it is missing instead of being waited for. */
  readonly region?: string;
  /** Most messages handled at once, from 1. Default 64. */
  readonly batch?: number;
  /**
   * Most batches that are handled at a time, from 1. With 2, the next one is taken apart while the database commits the one before.
   * Batches begin in the order in which they came; they may end in another. Default 1.
   */
  readonly inFlight?: number;
  /** How long one question waits at the server when there is nothing. Default 2,000. Not a delay: messages come at once. A
   * server that has lost the consumer is noticed a second after it. */
  readonly maxWaitMs?: number;
  /** Ends the consuming; what is being handled is finished and acknowledged first. */
  readonly signal: AbortSignal;
  /**
   * Called with at least one message, at most `inFlight` times at a time. When it resolves, the messages are acknowledged and gone; when
   * it throws, all of them come again after a pause that grows to 5 s. So it must be safe to repeat,
   * and must not throw for a message that can never be handled. `signal` fires shortly before the server delivers again.
   */
  readonly handle: (messages: readonly BusMessage[], signal: AbortSignal) => Promise<void>;
}

/** The server delivers a message again when it was not acknowledged for this long: how late facts are after a killed consumer. */
export const ACK_WAIT_MS = 10_000;
/** A handler that has not finished after this long is told to give up. */
const HANDLE_TIMEOUT_MS = 8_000;
/** Longest pause after a failure. */
const MAX_BACKOFF_MS = 5_000;
const MIN_BACKOFF_MS = 100;
const API_TIMEOUT_MS = 5_000;

/**
 * Consumes a stream until the signal fires; resolves then and never throws. The bus may be away at the start, restart, or
 * lose the stream and the consumer: it goes on when they are there. Logs each kind of trouble once, not at each try.
 */
export async function consume(bus: Bus, options: ConsumeOptions): Promise<void> {
  const { signal, stream, inFlight = 1 } = options;
  const handling = new Set<Promise<void>>();
  let failures = 0;
  // A handler's failure is dealt with by the loop, like any other trouble.
  let failed: { readonly error: HandlerError } | undefined;
  // Only a batch that is handled shows that a handler does its work again.
  let isHandlers = false;
  const recover = (): void => {
    if (failures > 0) bus.log.info({ stream }, "Consuming again");
    failures = 0;
    isHandlers = false;
  };
  // The consumer is looked for again after any trouble: the server may have come back without it.
  let ready = false;
  bus.onChange(() => {
    ready = false;
  }, signal);
  while (!signal.aborted) {
    try {
      const connection = await bus.ready(signal);
      if (!ready) {
        ready = true;
        await ensureConsumer(bus, connection, options);
      }
      const messages = await next(bus, connection, options);
      if (messages.length > 0) {
        const batch = handleBatch(messages, options, backoffMs(failures + 1))
          .then(recover, (error) => {
            failed = { error };
          })
          .finally(() => handling.delete(batch));
        handling.add(batch);
        while (handling.size >= inFlight) await Promise.race(handling);
      } else if (!isHandlers) {
        recover();
      }
      if (failed !== undefined) throw failed.error;
    } catch (error) {
      if (signal.aborted) break;
      failed = undefined;
      isHandlers = error instanceof HandlerError;
      ready = false;
      if (failures === 0)
        bus.log.warn({ error: toConsumeError(stream, error), stream }, "Cannot consume; trying for ever");
      failures += 1;
      await pause(systemClock, backoffMs(failures), signal);
    }
  }
  await Promise.all(handling);
}

// Waits for one message, then takes what else is there.
async function next(bus: Bus, connection: NatsConnection, options: ConsumeOptions): Promise<PulledMessage[]> {
  const { batch = 64, maxWaitMs = 2_000, signal, stream, durable } = options;
  // A server that went away has forgotten the question.
  const ending = new AbortController();
  bus.onChange(() => ending.abort(), ending.signal);
  const abort = (): void => ending.abort();
  signal.addEventListener("abort", abort, { once: true });
  const question = { stream, durable, signal: ending.signal, ...(options.domain ? { domain: options.domain } : {}) };
  try {
    const first = await pull(connection, { ...question, batch: 1, waitMs: maxWaitMs });
    if (first.length === 0 || batch === 1) return first;
    return [...first, ...(await pull(connection, { ...question, batch: batch - 1, waitMs: 0 }))];
  } finally {
    signal.removeEventListener("abort", abort);
    ending.abort();
  }
}

async function handleBatch(
  messages: readonly PulledMessage[],
  options: ConsumeOptions,
  retryMs: number,
): Promise<void> {
  try {
    await options.handle(messages, AbortSignal.timeout(HANDLE_TIMEOUT_MS));
  } catch (error) {
    for (const message of messages) message.giveBack(retryMs);
    throw new HandlerError(error);
  }
  // Not awaited: an acknowledgement that is lost brings the message again, and the handler knows it.
  for (const message of messages) message.acknowledge();
}

async function ensureConsumer(bus: Bus, connection: NatsConnection, options: ConsumeOptions): Promise<void> {
  const { stream, durable, domain, region, batch = 64 } = options;
  const manager = await connection.jetstreamManager({
    checkAPI: false,
    timeout: API_TIMEOUT_MS,
    ...(domain === undefined ? {} : { domain }),
  });
  if (region !== undefined) await ensureStream(bus, stream, region, domain === undefined ? {} : { domain });
  const limits = {
    ack_wait: nanos(ACK_WAIT_MS),
    // Enough for several instances that share the consumer, each with a batch in its hands.
    max_ack_pending: Math.max(1_000, batch * 16),
  };
  try {
    const { config } = await manager.consumers.info(stream, durable);
    // An older version of us made it.
    const differs = config.ack_wait !== limits.ack_wait || config.max_ack_pending !== limits.max_ack_pending;
    if (differs) await manager.consumers.update(stream, durable, limits);
  } catch (error) {
    if (!isConsumerMissing(error)) throw error;
    await manager.consumers.add(stream, {
      ...limits,
      durable_name: durable,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      replay_policy: ReplayPolicy.Instant,
      max_deliver: -1,
    });
  }
}

// Says that the trouble is the handler's, not the bus's.
class HandlerError extends Error {
  override readonly cause: unknown;
  constructor(cause: unknown) {
    super("Cannot handle messages");
    this.cause = cause;
  }
}

function toConsumeError(stream: StreamName, error: unknown): unknown {
  if (error instanceof HandlerError) return error.cause;
  if (isStreamMissing(error)) return new WeirError("UNAVAILABLE", `Cannot consume: there is no stream "${stream}" yet`);
  return toBusError(`consume the stream "${stream}"`, error);
}

function backoffMs(failures: number): number {
  return Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(failures - 1, 10));
}
